//! What the API server makes of a `MultiRegionApp`, on a real one; and the offline check beside it, which must agree.

mod bad;
mod cluster;
mod definition;
mod good;
mod objects;
mod transitions;
