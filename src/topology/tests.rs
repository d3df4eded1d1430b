//! The picture, checked: every reference names an output, every example plans.
