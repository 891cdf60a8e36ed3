//! What goes wrong in go-memdb, its radix tree, and what is built on them, and does not here. Each
//! test is named after the issue, or the observed behaviour, that it comes from.
//!
//! | module | is about |
//! |---|---|
//! | `writes` | inserts, deletions, and what a transaction leaves |
//! | `keys` | keys, bounds and prefixes |
//! | `queries` | what could not be asked |
//! | `watches` | what wakes whom, and what waiting leaves behind |
//! | `indexes` | log indexes of what a query covers |
//! | `sizes` | transactions, tables and watches without a bound to go over |
//! | `programs` | what the schema says, and programs with another one |

mod indexes;
mod keys;
mod programs;
mod queries;
mod sizes;
mod watches;
mod writes;
