//! What could not be asked.

use crate::things::{Thing, ThingReader, Things, ThingsView, names, thing, things};
use highwater::{Matches, Row, Schema, Store, Table};
use serde::{Deserialize, Serialize};

/// go-memdb PR #187.
#[test]
fn memdb_83_a_count_is_kept_and_watched() {
    type Count = fn(&ThingsView) -> usize;
    let store = things((0..500).map(|n| thing(&n.to_string(), n % 2)));
    let counts: [(Count, usize); 7] = [
        // Of a table and of an index.
        (|db| db.things().len(), 500),
        (|db| db.things().age_index().len(), 500),
        // Of a key, a prefix and a range.
        (|db| db.things().by_age(1).count(), 250),
        (|db| db.things().prefix("3").count(), 111),
        (|db| db.things().range("3".."4").count(), 111),
        // Without the record that goes.
        (|db| db.things().by_age(0).count(), 250),
        (|db| db.things().prefix("49").count(), 11),
    ];
    let watches = counts.map(|(count, expected)| {
        let (counted, watch) = store.watch(count);
        assert_eq!(counted.value, expected);
        watch
    });
    let mut txn = store.write().unwrap();
    txn.things_mut().delete("3").unwrap();
    txn.commit().unwrap();
    assert_eq!(
        watches.map(|watch| watch.has_fired()),
        [true, true, true, true, true, false, false]
    );
    let snap = store.snapshot();
    let left = counts.map(|(count, _)| count(&snap));
    assert_eq!(left, [499, 499, 249, 110, 110, 250, 11]);
}

/// By several columns, each rising or falling.
#[test]
fn memdb_68_results_are_in_the_order_of_several_columns() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[index(by_team_points(team, reverse(points)))]
    struct Score {
        #[primary_key]
        player: String,
        team: String,
        points: u32,
    }

    #[derive(Schema)]
    struct Scores {
        scores: Score,
    }

    let store = Store::<Scores>::new();
    let mut txn = store.write().unwrap();
    let all = [
        ("a", "x", 1),
        ("b", "y", 5),
        ("c", "x", 9),
        ("d", "y", 5),
        ("e", "x", 4),
    ];
    for (player, team, points) in all {
        let (player, team) = (player.to_owned(), team.to_owned());
        let record = Score {
            player,
            team,
            points,
        };
        txn.scores_mut().insert(record).unwrap();
    }
    let players = |rows: &mut dyn Iterator<Item = &Row<Score>>| {
        rows.map(|row| row.player.clone()).collect::<String>()
    };
    let scores = txn.scores();
    let by = scores.team_points_index();
    assert_eq!(players(&mut by.iter()), "ceabd");
    assert_eq!(players(&mut by.iter().rev()), "dbaec");
    // The best two of a team.
    assert_eq!(players(&mut by.leading("x").take(2)), "ce");
}

/// Of the kinds, ages and zones that are asked for.
fn asked<'a>(
    things: &ThingReader<'a>,
    ages: &[i32],
    kinds: &[&str],
    zones: &[&str],
) -> Matches<'a, Thing> {
    let ages = ages.iter().map(|age| things.age_index().matching(*age));
    let kinds = kinds.iter().map(|kind| things.kind_index().matching(*kind));
    let zones = zones.iter().map(|zone| things.zone_index().matching(*zone));
    let columns = [
        ages.reduce(Matches::or),
        kinds.reduce(Matches::or),
        zones.reduce(Matches::or),
    ];
    // What nothing is asked of is any.
    let asked = columns.into_iter().flatten().reduce(Matches::and);
    asked.unwrap_or_else(|| things.matching(..))
}

fn kinds_and_zones() -> Store<Things> {
    let rows = [
        ("a", 1, "adam", "york"),
        ("b", 1, "bruce", "york"),
        ("c", 2, "adam", "chicago"),
        ("d", 2, "diana", "york"),
        ("e", 3, "bruce", "paris"),
    ];
    things(rows.map(|(id, age, kind, zone)| Thing {
        kind: kind.to_owned(),
        zone: Some(zone.to_owned()),
        ..thing(id, age)
    }))
}

/// #101: the intersection of indexes, with an index for each column and none for their combinations.
#[test]
fn memdb_79_several_indexes_meet_in_one_query() {
    let snap = kinds_and_zones().snapshot();
    let things = snap.things();
    assert_eq!(names(asked(&things, &[1], &["adam"], &[])), ["a"]);
    assert_eq!(names(asked(&things, &[2], &[], &["york"])), ["d"]);
    assert_eq!(
        names(asked(&things, &[1], &["adam"], &["york"]).rev()),
        ["a"]
    );
    assert!(names(asked(&things, &[3], &["adam"], &[])).is_empty());
}

#[test]
fn memdb_98_a_criterion_may_be_left_out() {
    let snap = kinds_and_zones().snapshot();
    let things = snap.things();
    assert_eq!(
        names(asked(&things, &[], &[], &[])),
        ["a", "b", "c", "d", "e"]
    );
    assert_eq!(names(asked(&things, &[], &["bruce"], &[])), ["b", "e"]);
    assert_eq!(names(asked(&things, &[], &[], &["york"])), ["a", "b", "d"]);
    assert_eq!(names(asked(&things, &[1], &[], &["york"])), ["a", "b"]);
}

/// Two columns of a few values each: each value is one look-up, not each combination.
#[test]
fn memdb_109_several_values_of_several_columns() {
    let snap = kinds_and_zones().snapshot();
    let things = snap.things();
    let kinds = ["adam", "bruce", "caitlyn"];
    let found = asked(&things, &[], &kinds, &["york", "chicago"]);
    assert_eq!(found.explain().len(), 5);
    assert_eq!(names(found), ["a", "b", "c"]);
    // Where a column has none of its values, nothing else is looked through.
    assert!(names(asked(&things, &[9], &kinds, &["york"])).is_empty());
}

/// #151. That a key of another type does not compile is in `tests/ui/wrong_key_type.rs`.
#[test]
fn memdb_131_a_table_has_its_types() {
    /// Of any table: the record's type is that of the table.
    fn oldest<T>(rows: &mut dyn Iterator<Item = &Row<T>>) -> Option<T>
    where
        T: Table + Clone,
    {
        rows.min_by_key(|row| row.create_index())
            .map(|row| T::clone(row))
    }
    let snap = kinds_and_zones().snapshot();
    let found: Option<Thing> = oldest(&mut snap.things().by_kind("BRUCE"));
    assert_eq!(found.unwrap().age, 1);
}
