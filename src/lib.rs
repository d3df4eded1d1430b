//! MultiRegionApp operator.
