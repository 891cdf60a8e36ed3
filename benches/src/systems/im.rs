//! `im::OrdMap` behind `arc-swap`.

super::hand_kept::maps!(::im::OrdMap, R => Arc<R>);
super::hand_kept::published!(
    Im,
    "im",
    "`im`",
    "im::OrdMap",
    "every index leads straight to the record"
);
