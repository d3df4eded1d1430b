//! The kinds of IAM, CloudWatch Logs and Lambda.

mod iam_role;
mod lambda;
