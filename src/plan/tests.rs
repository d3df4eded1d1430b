//! The plan's decisions one by one, each with a small golden or an assertion on one step.
