//! `imbl::OrdMap` behind `arc-swap`, with indexes of ids.

super::hand_kept::maps!(::imbl::OrdMap, R => ());
super::hand_kept::published!(
    ImblIds,
    "imbl-ids",
    "`imbl`, ids",
    "imbl::OrdMap",
    "an index leads to ids, which are looked up one by one: a record replaced under the same keys \
     is written to one map instead of six. (Not among the columns unless asked for.)"
);
