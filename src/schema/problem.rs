//! What is wrong with the references of a schema, found and said when a program is compiled.

use super::{IndexDef, Reference, same_text};

/// What is wrong, in words put together while a program is compiled; or that nothing is. For generated
/// code.
#[derive(Debug)]
pub struct Problem {
    text: [u8; 1024],
    len: usize,
}

impl Problem {
    const NONE: Problem = Problem {
        text: [0; 1024],
        len: 0,
    };

    /// The parts, one after the other. One for which there is no room is left out.
    const fn of(parts: &[&str]) -> Problem {
        let mut problem = Problem::NONE;
        let mut i = 0;
        while i < parts.len() {
            let part = parts[i].as_bytes();
            if part.len() <= problem.text.len() - problem.len {
                let (_, room) = problem.text.split_at_mut(problem.len);
                let (place, _) = room.split_at_mut(part.len());
                place.copy_from_slice(part);
                problem.len += part.len();
            }
            i += 1;
        }
        problem
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.len == 0
    }

    /// What is wrong.
    #[must_use]
    pub const fn text(&self) -> &str {
        let (text, _) = self.text.split_at(self.len);
        match str::from_utf8(text) {
            Ok(text) => text,
            Err(_) => "",
        }
    }
}

/// That `names` has not every table that one of these indexes refers to. `say` is what is said before the
/// name of the first such index, between it and the name of the table, and after that.
#[must_use]
pub const fn unknown_reference<T>(
    indexes: &[IndexDef<T>],
    names: &[&str],
    say: [&str; 3],
) -> Problem {
    wrong_reference(indexes, names, None, say)
}

/// That a table which one of these indexes refers to is of some sort, as `sort` says of each of `names`,
/// told as [`unknown_reference`] does. One that is not among them is not.
#[must_use]
pub const fn reference_to<T>(
    sort: &[bool],
    indexes: &[IndexDef<T>],
    names: &[&str],
    say: [&str; 3],
) -> Problem {
    wrong_reference(indexes, names, Some(sort), say)
}

/// Of tables referred to, one that is not in `names`; or, given which of them are of some sort, one of
/// those.
const fn wrong_reference<T>(
    indexes: &[IndexDef<T>],
    names: &[&str],
    sort: Option<&[bool]>,
    [before, between, after]: [&str; 3],
) -> Problem {
    let mut i = 0;
    while i < indexes.len() {
        if let Some(Reference { table, .. }) = indexes[i].references {
            let mut known = false;
            let mut of_sort = false;
            let mut n = 0;
            while n < names.len() {
                if same_text(names[n], table) {
                    known = true;
                    if let Some(sort) = sort {
                        of_sort |= sort[n];
                    }
                }
                n += 1;
            }
            if of_sort || (sort.is_none() && !known) {
                return Problem::of(&[before, indexes[i].name, between, table, after]);
            }
        }
        i += 1;
    }
    Problem::NONE
}

#[cfg(test)]
mod tests {
    use super::Problem;

    #[test]
    fn what_there_is_room_for_is_said() {
        let long = "é".repeat(510);
        let problem = Problem::of(&["ab", "", &long, "cde", "fg", "h"]);
        assert_eq!(problem.text(), format!("ab{long}fg"));
        assert!(!problem.is_none());
        assert!(Problem::of(&[]).is_none());
        assert_eq!(Problem::NONE.text(), "");
    }
}
