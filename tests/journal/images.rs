//! Images: they cut the log, come by themselves, and are passed over or refused where they are of no use.

use crate::common::{Request, balance};
use crate::{Bankbook, count, images, open, soon};
use highwater::LogIndex;
use highwater::journal::{Journal, JournalError, JournalOptions};
use std::fs;
use std::time::Instant;

#[test]
fn checkpoints_cut_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(0));
    assert!(
        images(dir.path()).is_empty(),
        "there is nothing to write yet"
    );
    for round in 1..=4 {
        for _ in 0..10 {
            journal.propose(count("a")).unwrap().result.unwrap();
        }
        assert_eq!(journal.checkpoint().unwrap(), LogIndex(10 * round));
        assert_eq!(journal.checkpoint().unwrap(), LogIndex(10 * round));
        assert_eq!(
            images(dir.path()).len(),
            usize::min(2, usize::try_from(round).unwrap())
        );
    }
    for _ in 0..3 {
        journal.propose(count("a")).unwrap().result.unwrap();
    }
    journal.close().unwrap();

    let (journal, recovery) = open(dir.path());
    assert_eq!((recovery.image, recovery.replayed), (Some(LogIndex(40)), 3));
    assert_eq!(balance(journal.store(), "a"), Some(43));
    journal.close().unwrap();

    // The newest image is damaged: the one before and the log have it all.
    let newest = images(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let (journal, recovery) = open(dir.path());
    assert_eq!(
        (recovery.image, recovery.replayed),
        (Some(LogIndex(30)), 13)
    );
    assert_eq!(recovery.damaged_images.len(), 1);
    assert_eq!(recovery.damaged_images[0].path, newest);
    assert_eq!(balance(journal.store(), "a"), Some(43));
    // The next image takes its place, not that of the good one.
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(43));
    let names: Vec<_> = images(dir.path())
        .iter()
        .map(|path| {
            path.to_str()
                .unwrap()
                .rsplit('-')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .collect();
    assert_eq!(names, [30, 43]);
    journal.close().unwrap();

    // Without an image the cut log does not begin at the beginning.
    for path in images(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    match Bankbook::open(dir.path(), JournalOptions::default()) {
        Err(JournalError::Damaged { what, .. }) => assert!(what.contains("after 30"), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn images_come_by_themselves_and_bound_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        image_every_entries: 20,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options.clone()).unwrap();
    let deadline = soon();
    while images(dir.path()).len() < 2 {
        assert!(Instant::now() < deadline);
        for _ in 0..10 {
            journal.propose(count("a")).unwrap().result.unwrap();
        }
    }
    assert_eq!(journal.image_error(), None);
    journal.close().unwrap();
    let (journal, recovery) = Bankbook::open(dir.path(), options).unwrap();
    assert!(recovery.image.is_some());
    journal.close().unwrap();

    let dir = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        image_every_bytes: 5000,
        ..JournalOptions::default()
    };
    let (journal, _) = Bankbook::open(dir.path(), options).unwrap();
    while images(dir.path()).is_empty() {
        assert!(Instant::now() < deadline);
        let fill = Request::Fill {
            bytes: "x".repeat(1000),
        };
        journal.propose(fill).unwrap().result.unwrap();
    }
}

#[test]
fn an_image_that_cannot_be_written_is_told_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.propose(count("a")).unwrap().result.unwrap();
    let obstacle = dir.path().join("image-00000000000000000001.unfinished");
    fs::create_dir(&obstacle).unwrap();
    match journal.checkpoint() {
        Err(JournalError::Io { path, .. }) => assert_eq!(path, obstacle),
        other => panic!("{other:?}"),
    }
    assert!(
        journal
            .image_error()
            .unwrap()
            .contains("image-00000000000000000001")
    );
    journal.propose(count("a")).unwrap().result.unwrap();
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(journal.checkpoint().unwrap(), LogIndex(2));
    assert_eq!(journal.image_error(), None);
}

#[test]
fn an_image_of_another_journal_is_passed_over() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (dir, id) in [(&ours, "ours"), (&theirs, "theirs")] {
        let (journal, _) = open(dir.path());
        journal.propose(count(id)).unwrap().result.unwrap();
        journal.checkpoint().unwrap();
        journal.close().unwrap();
    }
    fs::copy(&images(theirs.path())[0], &images(ours.path())[0]).unwrap();
    let (journal, recovery) = open(ours.path());
    assert_eq!((recovery.image, recovery.replayed), (None, 1));
    assert!(recovery.damaged_images[0].what.contains("history"));
    assert_eq!(balance(journal.store(), "ours"), Some(1));
    assert_eq!(balance(journal.store(), "theirs"), None);
}

/// A record that cannot be read as it was written, as with fields that are left out by mistake.
mod unreadable {
    use highwater::fsm::{Command, Context};
    use highwater::{Schema, Table, WriteError, WriteTxn};
    use serde::{Deserialize, Deserializer, Serialize};

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
    #[table(name = "notes")]
    pub(crate) struct Note {
        #[primary_key]
        pub(crate) title: String,
        #[serde(deserialize_with = "long")]
        pub(crate) text: String,
    }

    fn long<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Err(serde::de::Error::custom("it is empty"));
        }
        Ok(text)
    }

    #[derive(Debug, Schema)]
    pub(crate) struct Notes {
        notes: Note,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(crate) struct Write(pub(crate) String);

    impl Command<Notes> for Write {
        type Reply = ();
        type Error = WriteError;

        fn apply(self, _: &Context, txn: &mut WriteTxn<Notes>) -> Result<(), WriteError> {
            let title = "t".into();
            txn.notes_mut()
                .upsert(Note {
                    title,
                    text: self.0,
                })
                .map(drop)
        }
    }
}

#[test]
fn an_image_that_could_not_be_read_cuts_nothing() {
    use unreadable::{Notes, Write};
    let dir = tempfile::tempdir().unwrap();
    let open = || Journal::<Notes, Write>::open(dir.path(), JournalOptions::default()).unwrap();
    let (journal, _) = open();
    for text in ["a", "", "b", ""] {
        journal.propose(Write(text.into())).unwrap().result.unwrap();
        let image = journal.checkpoint();
        assert_eq!(image.is_err(), text.is_empty(), "{image:?}");
        let error = journal.image_error().unwrap_or_default();
        assert_eq!(error.contains("it is empty"), text.is_empty(), "{error}");
    }
    journal.close().unwrap();
    let (journal, _) = open();
    let snapshot = journal.store().snapshot();
    assert_eq!(snapshot.notes().get("t").unwrap().text, "");
}
