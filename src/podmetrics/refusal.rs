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

    /// The answer in place of the one that was asked for, and its words.
    pub(super) fn response(&self, service: &Service) -> (Response, String) {
        let text = self.text(service);
        let status = match self {
            Self::UnknownJob(_) => StatusCode::NOT_FOUND,
            Self::TooManyTargets(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotListed | Self::Overloaded | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut response = (status, format!("{text}\n")).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("5"));
        }
        (response, text)
    }

    fn text(&self, service: &Service) -> String {
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
                format!("no pod belongs to the job `{}`; {known}", job.escape_debug())
            }
            Self::NotListed => "the pods have not been listed yet; see /readyz".to_owned(),
            Self::TooManyTargets(targets) => {
                let limit = config.targets_limit;
                format!("the job has {targets} targets, more than the limit of {limit} (podmetrics.limits.targets)")
            }
            Self::Overloaded => {
                let limit = humanize(config.held_limit as u64);
                format!("the answers of pods take more than {limit} at once (podmetrics.limits.held)")
            }
            Self::Busy => {
                let limit = config.requests;
                format!("as many requests are being worked on as may be, {limit} (podmetrics.requests), and none ended in time")
            }
            Self::Internal => "the exporter failed at this request, which is a bug of its own; its log says where".to_owned(),
        }
    }
}
