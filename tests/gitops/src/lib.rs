//! What GitOps tools make of an app's object, for tests: the health and actions of Argo CD, and kstatus, which Flux goes by.

pub mod argocd;
pub mod kstatus;
