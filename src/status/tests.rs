//! The table of situations, row by row.
