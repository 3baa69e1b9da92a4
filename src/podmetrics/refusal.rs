//! Requests for jobs that get no answer: why, and how that is told.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Service;
use crate::size::humanize;

/// Jobs that are named to those who ask for one that does not exist.
const MOST_JOBS_TOLD: usize = 100;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownJob(String),
    NotListed,
    TooManyTargets(usize),
    Overloaded,
    Busy,
    /// A panic.
    Internal,
}

impl Refusal {
    /// As a label value.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::UnknownJob(_) => "unknown_job",
            Self::NotListed => "not_listed",
            Self::TooManyTargets(_) => "too_many_targets",
            Self::Overloaded => "overloaded",
            Self::Busy => "busy",
            Self::Internal => "internal",
        }
    }

    /// The answer in place of the one that was asked for.
    pub(super) fn response(&self, service: &Service) -> Response {
        let later = |text: String| (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], text).into_response();
        let config = &service.config;
        match self {
            Self::UnknownJob(job) => {
                let jobs = service.discovery.jobs();
                let mut told: Vec<&str> = jobs.iter().take(MOST_JOBS_TOLD).map(|(name, _)| &**name).collect();
                if jobs.len() > MOST_JOBS_TOLD {
                    told.push("...");
                }
                let known = if told.is_empty() {
                    format!("no pod has the label {}", config.rules.selector())
                } else {
                    format!("known jobs: {}", told.join(", "))
                };
                (StatusCode::NOT_FOUND, format!("no pod belongs to the job `{}`; {known}\n", job.escape_debug())).into_response()
            }
            Self::NotListed => later("the pods have not been listed yet; see /readyz\n".to_owned()),
            Self::TooManyTargets(targets) => {
                let limit = config.targets_limit;
                let text = format!("the job has {targets} targets, more than the limit of {limit} (podmetrics.limits.targets)\n");
                (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
            }
            Self::Overloaded => {
                let limit = humanize(config.held_limit as u64);
                later(format!("the answers of pods take more than {limit} at once (podmetrics.limits.held)\n"))
            }
            Self::Busy => {
                let limit = config.requests;
                later(format!("{limit} other requests are being worked on (podmetrics.requests), and none ended in time\n"))
            }
            Self::Internal => {
                let text = "the exporter failed at this request, which is a bug of its own; its log says where\n";
                (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
            }
        }
    }
}
