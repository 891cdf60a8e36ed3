//! The stamps of one tree as a stream of tokens, in the order of [`Tree::stamps`].
//!
//! A leaf nearly always carries its record's modify index, so runs of such leaves are one token;
//! any other leaf and every inner node is written as its distance from the image's index.
//!
//! [`Tree::stamps`]: crate::tree::Tree::stamps

use super::error::ImageError;
use super::varint;
use crate::tree::{NodeStamp, Stamp};

/// How many leaves follow that carry their record's modify index.
const RUN: u8 = 0;
/// A leaf with another index: the image's less this.
const LEAF: u8 = 1;
/// The header or an inner node: the image's index less `below`, `below` less `structure`.
const INNER: u8 = 2;

/// Writes tokens of a tree of an image at `max`, whose records' modify indexes are, in the order
/// of the tree's keys, `modified`. `full` is told after each token what was appended.
pub(super) fn encode(
    stamps: &[NodeStamp],
    modified: &[Stamp],
    max: Stamp,
    out: &mut Vec<u8>,
    mut full: impl FnMut(&mut Vec<u8>) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let mut modified = modified.iter();
    let mut run = 0;
    for stamp in stamps {
        if stamp.structure.is_none() && modified.next() == Some(&stamp.below) {
            run += 1;
            continue;
        }
        end_run(&mut run, out);
        let below = max - stamp.below;
        if let Some(structure) = stamp.structure {
            out.push(INNER);
            varint::put(out, below);
            varint::put(out, stamp.below - structure);
        } else {
            out.push(LEAF);
            varint::put(out, below);
        }
        full(out)?;
    }
    end_run(&mut run, out);
    full(out)
}

fn end_run(run: &mut u64, out: &mut Vec<u8>) {
    if *run > 0 {
        out.push(RUN);
        varint::put(out, *run);
        *run = 0;
    }
}

/// One token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// So many leaves that carry their record's modify index.
    Run(u64),
    /// A leaf: the image's index less `below`.
    Leaf(u64),
    /// The header or an inner node: the image's index less `below`, `below` less `structure`.
    Inner(u64, u64),
}

impl Token {
    /// Takes one off the front of `bytes`; the error says what is wrong with it.
    pub(super) fn take(bytes: &mut &[u8]) -> Result<Token, &'static str> {
        let Some((&kind, rest)) = bytes.split_first() else {
            return Err("a token is cut short");
        };
        *bytes = rest;
        let mut number = || varint::take(bytes).ok_or("a number is cut short or too long");
        match kind {
            RUN => Ok(Token::Run(number()?)),
            LEAF => Ok(Token::Leaf(number()?)),
            INNER => Ok(Token::Inner(number()?, number()?)),
            _ => Err("an unknown kind of token"),
        }
    }

    /// How many nodes it is about.
    pub(super) fn nodes(self) -> u64 {
        match self {
            Token::Run(run) => run,
            Token::Leaf(_) | Token::Inner(..) => 1,
        }
    }
}

/// Makes the stamps of one tree of its tokens.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    modified: &'a [Stamp],
    max: Stamp,
    leaves: usize,
    stamps: Vec<NodeStamp>,
}

impl<'a> Decoder<'a> {
    /// For a tree that has been built anew, with the modify indexes of its records in key order.
    pub(super) fn new(modified: &'a [Stamp], max: Stamp) -> Self {
        Decoder {
            modified,
            max,
            leaves: 0,
            stamps: Vec::new(),
        }
    }

    /// Takes the next token; the error says what is wrong with it. Memory is bounded by the number
    /// of entries of the tree, whatever the tokens.
    pub(super) fn push(&mut self, token: Token) -> Result<(), &'static str> {
        let left = &self.modified[self.leaves..];
        match token {
            Token::Run(run) => {
                let run = usize::try_from(run)
                    .ok()
                    .filter(|&run| 0 < run && run <= left.len());
                let run = run.ok_or("a run of no leaves, or of more than the index has entries")?;
                self.leaves += run;
                let stamp = |&below| NodeStamp {
                    below,
                    structure: None,
                };
                self.stamps.extend(left[..run].iter().map(stamp));
            }
            Token::Leaf(below) => {
                let below = self.max.checked_sub(below).ok_or("a stamp below zero")?;
                match left.first() {
                    None => return Err("more leaves than the index has entries"),
                    Some(&modified) if below < modified => {
                        return Err("a leaf's stamp is before its record's modify index");
                    }
                    Some(_) => {}
                }
                self.leaves += 1;
                self.stamps.push(NodeStamp {
                    below,
                    structure: None,
                });
            }
            Token::Inner(below, structure) => {
                let below = self.max.checked_sub(below).ok_or("a stamp below zero")?;
                let structure = below.checked_sub(structure).ok_or("a stamp below zero")?;
                // Besides the header, an inner node has at least two entries below it.
                if self.stamps.len() - self.leaves > self.modified.len() {
                    return Err("more inner nodes than the index can have");
                }
                self.stamps.push(NodeStamp {
                    below,
                    structure: Some(structure),
                });
            }
        }
        Ok(())
    }

    /// All stamps, if there is one for each leaf.
    pub(super) fn finish(self) -> Result<Vec<NodeStamp>, &'static str> {
        if self.leaves == self.modified.len() {
            Ok(self.stamps)
        } else {
            Err("fewer leaves than the index has entries")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: Stamp = 1000;

    /// A tree's stamps as `encode` takes them, with the modify indexes of its leaves.
    fn any_stamps() -> impl Strategy<Value = (Vec<NodeStamp>, Vec<Stamp>)> {
        let leaf = (1..=MAX, prop_oneof![9 => Just(0), 1 => 0..=MAX])
            .prop_map(|(modified, late)| (modified, (modified + late).min(MAX), None));
        let inner = (0..=MAX, 0..=MAX).prop_map(|(a, b)| (0, a.max(b), Some(a.min(b))));
        prop::collection::vec(prop_oneof![3 => leaf, 1 => inner], 0..200).prop_map(|nodes| {
            let mut modified = Vec::new();
            let mut stamps = vec![NodeStamp {
                below: MAX,
                structure: Some(0),
            }];
            for (leaf, below, structure) in nodes {
                if structure.is_none() {
                    modified.push(leaf);
                } else if stamps.len() - modified.len() > modified.len() {
                    continue;
                }
                stamps.push(NodeStamp { below, structure });
            }
            (stamps, modified)
        })
    }

    fn encoded(stamps: &[NodeStamp], modified: &[Stamp]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(stamps, modified, MAX, &mut out, |_| Ok(())).unwrap();
        out
    }

    fn decoded(mut bytes: &[u8], modified: &[Stamp]) -> Result<Vec<NodeStamp>, &'static str> {
        let mut decoder = Decoder::new(modified, MAX);
        while !bytes.is_empty() {
            decoder.push(Token::take(&mut bytes)?)?;
        }
        decoder.finish()
    }

    #[test]
    fn equal_leaves_are_one_token() {
        let modified = vec![5; 1000];
        let mut stamps = vec![NodeStamp {
            below: MAX,
            structure: Some(MAX),
        }];
        stamps.extend(vec![
            NodeStamp {
                below: 5,
                structure: None
            };
            1000
        ]);
        assert_eq!(encoded(&stamps, &modified), [INNER, 0, 0, RUN, 0xe8, 7]);
    }

    #[test]
    fn impossible_tokens_are_refused() {
        for (bytes, what) in [
            (&[RUN, 0][..], "run"),
            (&[RUN, 3], "run"),
            (
                &[RUN, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                "run",
            ),
            (&[RUN, 1], "fewer"),
            (&[RUN, 2, LEAF, 0], "more leaves"),
            (&[LEAF, 0xe9, 7], "below zero"),
            (&[LEAF, 0xe0, 7], "before its record's"),
            (&[INNER, 0xe9, 7, 0], "below zero"),
            (&[INNER, 0xe8, 7, 1], "below zero"),
            (
                &[INNER, 0, 0, INNER, 0, 0, INNER, 0, 0, INNER, 0, 0],
                "more inner",
            ),
            (&[INNER, 0], "number"),
            (&[RUN], "number"),
            (&[3], "unknown"),
        ] {
            let error = decoded(bytes, &[10, 20]).unwrap_err();
            assert!(error.contains(what), "{bytes:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn come_back((stamps, modified) in any_stamps()) {
            let bytes = encoded(&stamps, &modified);
            let mut left = &bytes[..];
            let mut nodes = 0;
            while !left.is_empty() {
                nodes += Token::take(&mut left).unwrap().nodes();
            }
            prop_assert_eq!(nodes, stamps.len() as u64);
            prop_assert_eq!(decoded(&bytes, &modified).unwrap(), stamps);
        }

        #[test]
        fn any_tokens_are_survived(bytes in prop::collection::vec(prop_oneof![0_u8..4, any::<u8>()], 0..60)) {
            if let Ok(stamps) = decoded(&bytes, &[7, 9, 900]) {
                prop_assert!(stamps.len() <= 7);
            }
        }
    }
}
