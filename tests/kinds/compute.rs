//! The kinds of IAM, CloudWatch Logs and Lambda.

mod cloudwatch_log_group;
mod iam_role;
mod lambda;
