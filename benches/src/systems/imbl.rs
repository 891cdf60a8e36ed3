//! `imbl::OrdMap` behind `arc-swap`.

super::hand_kept::maps!(::imbl::OrdMap, R => Arc<R>);
super::hand_kept::published!(
    Imbl,
    "imbl",
    "`imbl`",
    "imbl::OrdMap",
    "every index leads straight to the record (`--only imbl-ids` is the other way)"
);
