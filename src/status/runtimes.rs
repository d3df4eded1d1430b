//! Until when AWS supports Lambda's runtimes.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>, which names the end of support and the
//! day from which functions can no longer be created.

use jiff::Timestamp;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::conditions::Stand;

/// A runtime with the day its support ends and the day from which functions with it cannot be created.
struct Runtime {
    name: &'static str,
    end_of_support: Date,
    no_creation_from: Date,
}

const RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "nodejs18.x",
        end_of_support: date(2025, 9, 1),
        no_creation_from: date(2027, 2, 1),
    },
    Runtime {
        name: "nodejs20.x",
        end_of_support: date(2026, 4, 30),
        no_creation_from: date(2027, 2, 1),
    },
    Runtime {
        name: "nodejs22.x",
        end_of_support: date(2027, 4, 30),
        no_creation_from: date(2027, 6, 1),
    },
    Runtime {
        name: "nodejs24.x",
        end_of_support: date(2028, 4, 30),
        no_creation_from: date(2028, 6, 1),
    },
];

/// Whether `runtime` is supported on the day of `now`.
pub(super) fn supported(runtime: &str, now: Timestamp) -> Stand {
    let today = now.to_zoned(TimeZone::UTC).date();
    match RUNTIMES.iter().find(|known| known.name == runtime) {
        None => Stand::new(
            "Unknown",
            "NotListed",
            format!("{runtime} is not in this version's list of runtimes"),
        ),
        Some(known) if today >= known.end_of_support => Stand::new(
            "False",
            "EndOfSupport",
            format!(
                "{runtime} is out of support since {}; AWS refuses to create functions with it from {}: move \
                 spec.function.runtime on",
                known.end_of_support, known.no_creation_from
            ),
        ),
        Some(known) => Stand::new(
            "True",
            "Supported",
            format!("{runtime} is supported until {}", known.end_of_support),
        ),
    }
}
