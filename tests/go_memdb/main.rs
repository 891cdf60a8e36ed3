//! go-memdb, and what Consul and Nomad build on it: a case for each feature, named after it, and one
//! for each trap, named after the issue it comes from.
//!
//! | module | is about |
//! |---|---|
//! | `database` | the schema, stores, snapshots and forks |
//! | `transactions` | every method of a transaction |
//! | `indexers` | every kind of index |
//! | `watches` | channels, watch sets, and waiting |
//! | `trees` | what the radix tree offers by itself |
//! | `absent` | what go-memdb has not and its users ask for |
//! | `embedders` | what Consul and Nomad have built beside it |
//! | `traps` | what goes wrong there |
//!
//! Where each thing is shown. What ends in `.rs`, or begins with the name of another directory of tests, is beside
//! this one.
//!
//! # Types and database
//!
//! | there | here |
//! |---|---|
//! | `DBSchema`, `TableSchema`, `IndexSchema`, `DBSchema()` | `database::schema_tables_and_indexes_are_declared_and_told` |
//! | `Validate` | `derive_ui.rs`: what is no schema does not compile |
//! | trees by the names of table and index | `traps::programs::memdb_names_of_tables_and_indexes_may_be_any` |
//! | `NewMemDB` | `database::new_memdb_is_empty_and_at_index_zero` |
//! | `Txn(true)`, without a context or a try, deadlock in one goroutine | `database::txn_write_has_one_writer_and_can_be_tried`, `store_writes.rs`: `a_second_transaction_of_one_thread_is_refused` |
//! | `Txn(false)` | `database::txn_read_sees_one_state_for_as_long_as_it_is_held` |
//! | `Snapshot`, which may be written | `database::snapshot_may_be_written_and_tells_nobody` |
//! | objects by reference | `database::objects_are_shared_and_stay_what_they_were`, `transactions::an_update_changes_a_copy` |
//!
//! # Transactions
//!
//! | there | here |
//! |---|---|
//! | `Insert` | `transactions::insert_replaces_and_old_keys_find_nothing`, `transactions::insert_tells_new_records_from_old_ones` |
//! | a no-op insert fires all watches | `traps::watches::memdb_a_write_of_the_same_record_wakes_nobody` |
//! | errors are not atomic | `traps::writes::memdb_a_failed_insert_leaves_no_part_of_itself_and_always_fails_alike` |
//! | unique is not enforced | `traps::writes::memdb_7_unique_is_enforced_and_the_loser_takes_nothing_away` |
//! | `Delete`, `ErrNotFound` | `transactions::delete_of_what_is_absent_is_no_error_but_says_so` |
//! | `DeleteAll` | `transactions::delete_all_by_any_query`, `traps::writes::memdb_95_a_record_that_is_found_several_times_is_deleted_once` |
//! | `DeletePrefix` | `transactions::delete_prefix_takes_what_begins_so`, `traps::writes::memdb_a_prefix_is_deleted_from_every_index` |
//! | `DeletePrefix` by an index of UUIDs, which panics | `traps::writes::memdb_a_prefix_of_an_id_is_deleted` |
//! | `First`, `Last` | `transactions::first_and_last_of_every_index` |
//! | `FirstWatch`, `LastWatch` | `watches::first_watch_and_last_watch_are_of_what_they_found` |
//! | `Get`, `GetReverse` | `transactions::get_and_get_reverse` |
//! | `Get` by prefix of bytes: NUL, widths of numbers | `traps::keys::memdb_zeros_in_a_key_end_nothing`, `traps::keys::memdb_113_numbers_are_in_order` |
//! | `_prefix` | `transactions::get_prefix_of_text` |
//! | `LowerBound`, `ReverseLowerBound` | `transactions::lower_bound_and_reverse_lower_bound`, `traps::keys::memdb_96_a_bound_that_is_included_includes_all_records_that_have_it` |
//! | their nil channel | `watches::lower_bound_can_be_watched` |
//! | `LongestPrefix` | `transactions::longest_prefix_of_text` |
//! | `ResultIterator`, `FilterIterator` | `transactions::result_iterator_is_an_iterator`, `traps::writes::memdb_85_what_is_read_may_be_deleted_meanwhile` |
//! | `TrackChanges`, `Changes`, `Change` | `transactions::track_changes_of_the_feed_are_those_of_the_transaction`, `traps::writes::memdb_changes_are_net_and_need_not_be_asked_for_first` |
//! | `Txn.Snapshot` | `transactions::txn_snapshot_has_what_was_written_and_nothing_after`, `store_txn_snapshot.rs` |
//! | `Defer` | `transactions::defer_runs_after_the_commit_and_never_after_an_abort` |
//! | `Commit`, panics after it | `watches::visible_before_it_is_told`, `ui/ended_transaction.rs` |
//! | `Abort` | `transactions::abort_leaves_nothing_behind`, `watches::abort_tells_nobody` |
//!
//! # Indexers
//!
//! | there | here |
//! |---|---|
//! | `StringFieldIndex` | `indexers::string_field_index_with_and_without_lowercase` |
//! | `StringSliceFieldIndex` | `indexers::string_slice_field_index` |
//! | `StringMapFieldIndex` | `indexers::string_map_field_index_by_key_and_by_entry` |
//! | `IntFieldIndex`, `UintFieldIndex`, `BoolFieldIndex` | `indexers::int_uint_and_bool_field_indexes` |
//! | `UUIDFieldIndex` | `indexers::uuid_field_index`, `store_prefixes.rs`: `ids::every_key_that_begins_with_an_id_is_found_by_its_digits` |
//! | `FieldSetIndex`, `ConditionalIndex` | `indexers::field_set_and_conditional_indexes` |
//! | `FieldSetIndex` of a list or a map, which panics | `indexers::field_set_index_of_a_list_and_of_a_map` |
//! | `AllowMissing` | `indexers::allow_missing_keeps_records_out_of_the_index`, `indexers::rows_without_a_part_do_not_take_one_another_s_place` |
//! | `CompoundIndex` | `indexers::compound_index_exactly_by_its_first_columns_or_with_the_last_as_a_prefix`, `traps::keys::memdb_leading_columns_are_exact_and_an_absent_part_is_no_key` |
//! | `CompoundMultiIndex` | `indexers::compound_multi_index_has_every_combination_once`, `traps::keys::memdb_106_every_combination_is_found` |
//! | custom ones, by arguments without a type | `indexers::custom_indexers_are_functions_and_types`, `indexers::indexers_are_told_in_the_words_they_were_declared_in`, `indexers::every_indexer_is_asked_by_text` |
//!
//! # Watches
//!
//! | there | here |
//! |---|---|
//! | a channel of each node and leaf | `watch::covers`, `watches::first_watch_and_last_watch_are_of_what_they_found` |
//! | which tell too much | `traps::watches::memdb_150_an_absent_key_is_watched_by_itself` |
//! | `WatchSet`, `Add`, `AddWithLimit` | `watches::watch_set_of_many_is_one`, `watch::waiting::watches_are_joined_into_one_waiter` |
//! | `Watch`, `WatchCtx`; empty sets; one shot | `watches::watch_ctx_ends_at_the_deadline_and_an_empty_set_has_nothing_to_wait_for` |
//! | `WatchCh` | `watches::watch_ch_is_a_future`, `traps::watches::memdb_122_a_watch_that_is_dropped_leaves_nothing` |
//! | visible, then told | `watches::visible_before_it_is_told` |
//! | 8192 channels | `traps::sizes::memdb_51_no_number_of_rows_or_watches_is_too_many` |
//!
//! # The radix tree
//!
//! | there | here |
//! |---|---|
//! | `Insert`, `Delete`, `Get` | `trees::insert_and_delete_tell_the_old_value` |
//! | `DeletePrefix` | `transactions::delete_prefix_takes_what_begins_so` |
//! | `Len`, `Minimum`, `Maximum`, the empty key | `trees::len_minimum_and_maximum` |
//! | `Walk`, `WalkBackwards`, `WalkPrefix`, `Iterator`, `SeekPrefix` | `trees::walk_walk_backwards_and_walk_prefix` |
//! | `WalkPath`, `PathIterator`, `LongestPrefix` | `trees::walk_path_has_every_key_on_the_way` |
//! | `ReverseIterator`, `Previous` | `trees::previous_goes_back_from_where_one_is` |
//! | `SeekLowerBound`, `SeekReverseLowerBound` | `traps::keys::iradix_92_keys_that_begin_others_are_found_from_either_side` |
//! | `GetWatch`, `SeekPrefixWatch`, `TrackMutate`, `Notify`, `CommitOnly` | `watch::covers`, `watches::visible_before_it_is_told` |
//! | `Txn`, `Root`, `Clone` | `trees::every_older_version_stays_as_it_was`, `trees::huge_transactions_are_sorted`, `database::snapshot_may_be_written_and_tells_nobody` |
//!
//! # What go-memdb has not
//!
//! | asked for | here |
//! |---|---|
//! | unique keys | `absent::unique_keys_are_enforced` |
//! | ranges with two bounds, watched | `absent::ranges_have_bounds_at_both_ends`, `watches::lower_bound_can_be_watched` |
//! | exact leading columns | `traps::keys::memdb_leading_columns_are_exact_and_an_absent_part_is_no_key` |
//! | count, least and greatest, order, limit, cursor | `absent::count_order_limit_and_cursor`, `transactions::first_and_last_of_every_index` |
//! | revisions of rows; an index of a table, of the database | `absent::each_row_and_each_query_has_its_indexes` |
//! | waits for an index | `embedders::waiting::snapshot_min_index_is_woken` |
//! | a stream of changes | `absent::a_stream_of_changes_from_any_position` |
//! | memory of deletions | `embedders::waiting::what_was_deleted_below_a_prefix_raises_its_index` |
//! | persistence | `image.rs`, `journal`, `journal_kill.rs` |
//! | versions of the schema | `image_schema::versions` |
//! | compare and set | `absent::compare_and_set` |
//! | time to live | `fsm::expiry` |
//! | an index added to data | `traps::programs::memdb_78_an_index_is_added_by_the_next_program` |
//! | indexes with and, or | `absent::and_or_and_not_of_look_ups` |
//! | types | `traps::queries::memdb_131_a_table_has_its_types` |
//! | one path of errors | `absent::an_error_is_the_same_everywhere_and_changes_nothing` |
//! | metrics | `absent::metrics` |
//!
//! # What Consul and Nomad build
//!
//! | there | here |
//! |---|---|
//! | `CreateIndex`, `ModifyIndex` | `absent::each_row_and_each_query_has_its_indexes`, `traps::watches::memdb_a_write_of_the_same_record_wakes_nobody` |
//! | restores that must not stamp | `embedders::images::a_restore_does_not_stamp_anew` |
//! | the `index` table, and finer rows in it | `traps::indexes::consul_3890_what_one_query_covers_has_an_index_of_its_own` |
//! | `LatestIndex`, and which index | `embedders::waiting::entries_without_data_raise_the_index` |
//! | `SnapshotMinIndex` | `embedders::waiting::snapshot_min_index_is_woken`, `embedders::waiting::a_wait_for_an_index_goes_on_over_a_restore_of_the_same_history` |
//! | blocking queries; index 0 and 1 | `embedders::waiting::a_blocking_query_returns_for_what_it_read`, `watch::blocking_query` |
//! | `ErrNotFound`, `ErrNotChanged` | `embedders::waiting::a_query_of_what_is_absent_waits_for_it_alone` |
//! | an index that goes back | `embedders::waiting::an_index_of_a_store_that_went_back_is_seen_as_such` |
//! | Abandon | `embedders::waiting::a_restore_ends_no_wait_and_makes_none_spin`, `embedders::waiting::what_has_ended_may_be_ended_again` |
//! | tombstones | `embedders::waiting::what_was_deleted_below_a_prefix_raises_its_index` |
//! | the change stream | `embedders::streams::an_event_that_is_told_can_be_read`, `transactions::track_changes_of_the_feed_are_those_of_the_transaction` |
//! | consul's publisher: topics, snapshots, resumption, force-close | `feed::items::a_feed_of_a_query_tells_what_changes_it`, `embedders::streams::a_stream_is_resumed_after_what_it_told_and_tells_of_a_restore`, `embedders::streams::a_subscription_ends_where_the_right_to_it_does` |
//! | nomad's event broker | `embedders::streams::who_is_slow_holds_up_nobody_and_is_told_where_to_go_on` |
//! | what the FSM applies; unknown commands, and the flag to ignore them | `fsm`, `embedders::gates::nomad_3033_an_older_server_passes_over_what_it_may_and_stops_at_what_it_must_know` |
//! | gates between versions | `embedders::gates::a_command_is_used_when_every_server_knows_it`, `embedders::gates::a_level_is_raised_on_what_still_holds` |
//! | the format of snapshots | `image_hostile.rs`, `embedders::images::a_truncated_image_is_refused_wherever_it_ends`; while commits go on: `image.rs` |
//! | restores: upgrades, progress, two stores at once | `image_schema::versions`, `embedders::images::how_far_a_restore_is_its_reader_knows`, `embedders::images::a_store_is_read_while_it_is_restored` |
//! | restores through a filter | an image is restored whole; what a filter takes out is deleted from it, and the rest written as an image: `embedders::images::a_part_of_an_image_is_an_image` |
//! | the time table | `embedders::times` |
//! | counters | `embedders::usage::counts_are_of_the_snapshot_they_are_in` |
//! | Raft's contract | `openraft_storage.rs`, `fsm::a_batch_publishes_once_with_an_index_for_each`, `embedders::commands::what_is_applied_already_is_told_and_not_applied` |
//! | Vault's identities: copies, dangling rows | `traps::writes::memdb_99_who_has_a_record_cannot_change_what_is_stored`, `store_rules::a_deletion_goes_on_to_those_that_refer_to_the_record` |
//!
//! # Traps, by issue
//!
//! Those of a row share the test; its comment names them all.
//!
//! | issue | here |
//! |---|---|
//! | go-memdb #7 | `traps::writes::memdb_7_unique_is_enforced_and_the_loser_takes_nothing_away` |
//! | #96, yorkie PR #1074 | `traps::keys::memdb_96_a_bound_that_is_included_includes_all_records_that_have_it` |
//! | #113 | `traps::keys::memdb_113_numbers_are_in_order` |
//! | #150, consul #12343 | `traps::watches::memdb_150_an_absent_key_is_watched_by_itself` |
//! | #95 | `traps::writes::memdb_95_a_record_that_is_found_several_times_is_deleted_once` |
//! | #106 | `traps::keys::memdb_106_every_combination_is_found` |
//! | #85 to #88, consul #9566 | `traps::writes::memdb_85_what_is_read_may_be_deleted_meanwhile` |
//! | #99, #123, #157, nomad #16257, vault, openbao | `traps::writes::memdb_99_who_has_a_record_cannot_change_what_is_stored` |
//! | #83 | `traps::queries::memdb_83_a_count_is_kept_and_watched` |
//! | #68 | `traps::queries::memdb_68_results_are_in_the_order_of_several_columns` |
//! | #79, #101 | `traps::queries::memdb_79_several_indexes_meet_in_one_query` |
//! | #98 | `traps::queries::memdb_98_a_criterion_may_be_left_out` |
//! | #109 | `traps::queries::memdb_109_several_values_of_several_columns` |
//! | #78 | `traps::programs::memdb_78_an_index_is_added_by_the_next_program`; loading at once: `store_writes.rs`, `all_at_once_is_one_by_one` |
//! | #131, #151 | `traps::queries::memdb_131_a_table_has_its_types` |
//! | #51, iradix PR #13, consul #2724, spicedb PR #1639 | `traps::sizes::memdb_51_no_number_of_rows_or_watches_is_too_many` |
//! | consul #4984 and those after it | `traps::watches::consul_4984_a_query_of_very_many_instances_is_of_those_alone` |
//! | #122, consul #14916, #4140 | `traps::watches::memdb_122_a_watch_that_is_dropped_leaves_nothing` |
//! | #102 | `benches/`, `docs/performance.md` |
//! | iradix #28, #37, go-memdb #92, iradix #50 | `traps::keys::iradix_92_keys_that_begin_others_are_found_from_either_side` |
//! | iradix PR #107 | `traps::writes::memdb_a_prefix_is_deleted_from_every_index` |
//! | iradix #2, consul #1421 | `traps::sizes::iradix_2_a_transaction_copies_what_it_writes_once` |
//! | consul #195, #2673, #5498 | `traps::indexes::consul_195_an_index_does_not_fall_when_its_last_record_goes` |
//! | consul #3890 and those after it, nomad #5170 | `traps::indexes::consul_3890_what_one_query_covers_has_an_index_of_its_own` |
//! | consul #7939 | `embedders::commands::replicas_tell_the_same_indexes_however_entries_came` |
//! | nomad #18266 | `traps::watches::nomad_18266_a_change_between_reading_and_waiting_is_not_missed` |
//! | nomad #6403 | `embedders::waiting::a_blocking_query_returns_for_what_it_read` |
//! | nomad #27442, consul #3326, #5327, #5356 | `embedders::images::a_store_is_read_while_it_is_restored` |
//! | nomad #20072 | `traps::programs::nomad_20072_an_older_program_refuses_what_it_does_not_know_before_it_changes_anything`; what is empty is passed over: `image_schema::unknown` |
//! | nomad #3033, #26425 | `embedders::gates::nomad_3033_an_older_server_passes_over_what_it_may_and_stops_at_what_it_must_know`; behind the journal: `journal::ends::a_command_this_program_does_not_know_is_refused` |
//! | consul #8995, #12080 | `traps::watches::consul_8995_a_commit_wakes_those_it_concerns_whoever_else_waits` |
//! | nomad #11296, consul PR #12673 | `embedders::streams::a_stream_is_resumed_after_what_it_told_and_tells_of_a_restore` |
//! | statedb PR #53, go-memdb #24 | `watches::visible_before_it_is_told` |
//! | statedb PR #19 | `traps::watches::statedb_19_an_iterator_at_its_end_has_an_index_to_wait_past` |
//! | cilium PR #42953 | `traps::watches::statedb_the_empty_key_and_nodes_without_a_leaf_wake_who_watches_their_prefix` |
//! | cilium PR #28644 | `traps::watches::cilium_28644_a_lower_bound_is_watched_whatever_the_keys_are` |
//! | cilium #29324, statedb's regression tests | `traps::keys::statedb_a_prefix_does_not_reach_into_the_primary_key` |
//! | cilium #44310, statedb PR #162 | `traps::sizes::statedb_162_nothing_is_left_of_a_huge_transaction` |
//!
//! # Their tests
//!
//! | there | here |
//! |---|---|
//! | `txn_test.go`, `index_test.go`, `integ_test.go`, `memdb_test.go`, `filter_test.go`, `schema_test.go` | the tables above, by the method's name |
//! | `isolation_test.go` | `database::txn_read_sees_one_state_for_as_long_as_it_is_held`, `database::snapshot_may_be_written_and_tells_nobody` |
//! | `watch_test.go`: many channels, limits, leaks | `watch::waiting`, `traps::watches::memdb_122_a_watch_that_is_dropped_leaves_nothing` |
//! | `iradix_test.go`: versions, merges, deletions of prefixes, lengths | `trees`, `traps::writes::iradix_what_a_deletion_merges_is_not_seen_by_who_began_before` |
//! | its watches, in three ways of notification | `watch::covers`, `watch::replicas` |
//! | its fuzz tests, with deletions, transactions and watches | `store_model`, `operations.rs` |
//! | consul, nomad: blocking queries, `SnapshotMinIndex`, `FSM_SnapshotRestore` | `embedders::waiting`, `image.rs` |
//! | `EventBufferFuzz`, `Slow_Reader`, `ShutdownClosesSubscriptions` | `feed::soak`, `feed::items::a_slow_feed_ends_with_where_to_resume`, `feed::waits_blocking_and_async_and_ends_with_the_store` |
//! | `graveyard_test.go` | `embedders::waiting::what_was_deleted_below_a_prefix_raises_its_index` |
//! | statedb: `TestDB_Fuzz`, `quick_test.go`, `InsertGetPrefix` | `store_model`, `watch::replicas::exactly_what_changed_fires_and_every_replica_says_the_same_index` |
//! | cases that none has: an attempt that is given up | `traps::writes::memdb_an_abandoned_attempt_is_undone_whole` |
//!
//! What statedb's README offers is in `statedb`.

mod absent;
mod database;
mod embedders;
mod indexers;
#[path = "../store_schema/mod.rs"]
mod store_schema;
mod things;
mod transactions;
mod traps;
mod trees;
mod watches;
