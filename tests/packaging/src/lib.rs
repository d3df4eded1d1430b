//! Only tests; see `tests/install`.
