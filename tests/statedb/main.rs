//! statedb, the store of cilium: a case for each thing that its README offers.
//!
//! | there | here |
//! |---|---|
//! | objects, indexers: one key or several, unique or not | `tables::get_and_list_find_exactly_what_is_asked_for`, `tables::the_empty_key_is_a_key` |
//! | checks of names and indexes when a table is made | `derive_ui.rs`: they do not compile |
//! | `Table`, `RWTable`: who reads cannot write | `ui/write_through_snapshot.rs` |
//! | transactions over several tables, `Commit`, `Abort` | `store_writes.rs`; `go_memdb::transactions::abort_leaves_nothing_behind` |
//! | locks of single tables | one writer a store, many stores: `tables::what_is_written_at_once_is_in_stores_of_its_own` |
//! | read transactions without locks | `store_reads::snapshots::readers_see_whole_commits_while_a_writer_runs` |
//! | objects must not be changed | `go_memdb::traps::writes::memdb_99_who_has_a_record_cannot_change_what_is_stored` |
//! | `Get`, `List`, `Prefix`, `LowerBound`, `All`, `PrefixReverse`, `AllReverse` | `tables::get_and_list_find_exactly_what_is_asked_for` |
//! | the same with a watch channel | `watches::every_query_has_a_watch_of_what_it_covers` |
//! | `Insert`, `Modify`, `Delete`, `DeleteAll` | `tables::insert_modify_and_delete_tell_what_was_there` |
//! | `InsertWatch` | `watches::what_was_written_is_watched_until_it_is_written_again` |
//! | `CompareAndSwap`, `CompareAndDelete` | `tables::compare_and_swap_and_compare_and_delete` |
//! | `Collect`, `Map`, `Filter`, `ToSeq` | `tables::collect_map_and_filter` |
//! | `Revision`, of a table and of an object | `revisions::a_table_and_its_objects_have_revisions` |
//! | `ByRevision` | `revisions::by_revision_rises_from_the_last_that_was_seen` |
//! | `Changes`, with deletions | `revisions::changes_are_inserts_and_deletions_in_order`, `revisions::who_reads_a_part_of_the_changes_is_told_of_the_rest`, `revisions::changes_between_two_looks_are_net` |
//! | the graveyard | `revisions::who_does_not_look_keeps_nothing_and_begins_again` |
//! | `Observable` | `feed::items::a_feed_is_an_iterator_a_stream_and_a_channel` |
//! | `Derive` | derived tables: `go_memdb::embedders::usage::counts_are_of_the_snapshot_they_are_in` |
//! | `WatchSet` | `watches::a_set_is_waited_for_as_one`, `watch::waiting::watches_are_joined_into_one_waiter` |
//! | `RegisterInitializer`, `Initialized`, `PendingInitializers` | `initializers` |
//! | longest prefix match of networks | `store_reads::queries::the_longest_prefix_of_an_address`, `store_prefixes.rs` |
//! | of any bits | `tables::a_longest_prefix_of_any_bits` |
//! | `part.Map`, `part.Set` in objects | `tables::a_record_may_have_a_persistent_set` |
//! | `TableHeader`, `TableRow`, `db/show`, `WriteJSON`, `GET /dump` | `tools::json::a_dump_and_a_table_for_people` |
//! | `db`, `db/get`, `db/list`, `db/prefix`, `db/lowerbound`, `GET /query` | `tools::the_tables_of_a_store`, `tools::json::queries_by_text` |
//! | `db/insert`, `db/delete` | `tools::json::records_from_text` |
//! | `db/watch`, `GET /changes` | `tools::json::changes_as_json` |
//! | metrics | `tools::metrics` |
//! | reconciler: `Update`, `Delete`, status | `reconciler::what_is_wanted_is_made_so_and_its_status_told` |
//! | retries | `reconciler::what_fails_is_tried_again_later_and_later`, `reconciler::a_deletion_that_fails_is_not_forgotten` |
//! | refresh, `Prune` | `reconciler::what_is_as_wanted_is_refreshed_from_time_to_time`, `reconciler::what_is_not_wanted_is_pruned_and_a_restore_begins_anew` |
//! | rounds, `WaitUntilReconciled` | `reconciler::who_waits_until_a_change_is_reconciled_is_told` |
//! | its health | the table of statuses, which anybody queries and watches: `reconciler::what_fails_is_tried_again_later_and_later` |
//! | its metrics | none: who reconciles counts and times operations; how many have failed is the length of an index, `failed` |
//!
//! How long writers wait for one another is for who writes to measure: the store counts no time. The traps of
//! statedb are in `go_memdb::traps`, beside those of go-memdb, and in `revisions`.

mod device;
mod initializers;
mod reconciler;
mod revisions;
mod tables;
mod tools;
mod watches;
