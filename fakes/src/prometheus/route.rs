//! The endpoints: what each path answers when nothing is wrong with the server.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;

use super::data::{Data, Metric, json, of_series, selected};
use super::document::{Block, Document};
use super::problem::Problem;
use super::query::{Params, Point, Query};
use super::selector::{NAME, Selector};

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// The answer to `vector(1)`; when it was asked does not matter to anybody.
const ONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"1"]}]}}"#;

/// An answer before any fault.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) document: Document,
}

impl Reply {
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: TEXT, document: Document::text(text) }
    }
}

impl From<Document> for Reply {
    fn from(document: Document) -> Self {
        Self { status: StatusCode::OK, content_type: JSON, document }
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status, content_type: JSON, document: Document::text(problem.document()) }
    }
}

/// Which Prometheus this is.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) retention: String,
}

/// The query of a request, if its path is one for queries.
pub(super) fn query(path: &str, params: &Params, now: i64) -> Option<Result<Query, Problem>> {
    match path {
        "/api/v1/query_range" => Some(Query::range(params)),
        "/api/v1/query" if !asks_for_nothing(params) => Some(Query::instant(params, now)),
        _ => None,
    }
}

/// The one expression that is known, by which clients see whether somebody answers.
fn asks_for_nothing(params: &Params) -> bool {
    params.iter().any(|(name, value)| name == "query" && value == "vector(1)")
}

/// The answer to a request with this query, if it is one.
pub(super) fn reply(
    data: &Data,
    version: &Version,
    path: &str,
    params: &Params,
    query: Option<Result<Query, Problem>>,
) -> Result<Reply, Problem> {
    let label = path.strip_prefix("/api/v1/label/").and_then(|rest| rest.strip_suffix("/values"));
    match (query, label, path) {
        (Some(query), ..) => Ok(series(data, &query?, version.major >= 3).into()),
        (_, Some(label), _) => Ok(label_values(data, label, params)?.into()),
        (.., "/api/v1/labels") => Ok(label_names(data, params)?.into()),
        (.., "/api/v1/status/runtimeinfo") => Ok(Document::data(&runtime_info(&version.retention)).into()),
        (.., "/api/v1/status/buildinfo") => Ok(Document::data(&build_info(version.major)).into()),
        (.., "/api/v1/query") => Ok(Document::text(ONE).into()),
        (.., "/-/ready") => Ok(Reply::text(StatusCode::OK, "Prometheus Server is Ready.\n")),
        _ => Ok(Reply::text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

fn series(data: &Data, query: &Query, left_open: bool) -> Document {
    // Metrics without gaps have the same points.
    let mut common: Option<Arc<[Point]>> = None;
    let mut points = |metric: &Metric| {
        let new = || Arc::from(query.points(metric, left_open));
        if metric.gaps.is_empty() { Arc::clone(common.get_or_insert_with(new)) } else { new() }
    };
    let matchers = of_series(&query.selector.matchers);
    let block = |metric: Arc<Metric>| Block { points: points(&metric), matchers: Arc::clone(&matchers), metric };
    Document::series(data.select(&query.selector).into_iter().map(block).collect(), query.is_vector())
}

/// Some series of a metric.
type Found = (Arc<Metric>, Vec<usize>);

/// The metrics and series that the `match[]` parameters select, or all.
fn matched(data: &Data, params: &Params) -> Result<Vec<Found>, Problem> {
    let mut found = Vec::new();
    let mut any = false;
    for (_, text) in params.iter().filter(|(name, _)| name == "match[]") {
        any = true;
        let selector =
            Selector::parse(text).map_err(|error| Problem::bad_data(format!("invalid parameter \"match[]\": {error}")))?;
        let matchers = of_series(&selector.matchers);
        for metric in data.select(&selector) {
            let series: Vec<usize> = (0..metric.shape.series).filter(|i| selected(&metric, *i, &matchers)).collect();
            found.push((metric, series));
        }
    }
    if !any {
        found.extend(data.all().into_iter().map(|metric| (Arc::clone(&metric), (0..metric.shape.series).collect())));
    }
    found.retain(|(_, series)| !series.is_empty());
    Ok(found)
}

fn label_names(data: &Data, params: &Params) -> Result<Document, Problem> {
    let found = matched(data, params)?;
    let names: BTreeSet<&str> = found.iter().flat_map(|(metric, _)| metric.label_names()).copied().collect();
    Ok(Document::list(names))
}

fn label_values(data: &Data, label: &str, params: &Params) -> Result<Document, Problem> {
    let mut values = BTreeSet::new();
    for (metric, mut series) in matched(data, params)? {
        if label == NAME {
            series.truncate(1);
        }
        values.extend(series.into_iter().map(|i| metric.label(i, label).into_owned()));
    }
    // The value of a label that is not there.
    values.remove("");
    Ok(Document::list(values.iter().map(String::as_str)))
}

fn runtime_info(retention: &str) -> String {
    let started = "2026-01-01T00:00:00.000000000Z";
    format!(
        r#"{{"startTime":"{started}","CWD":"/prometheus","reloadConfigSuccess":true,"lastConfigTime":"{started}","corruptionCount":0,"goroutineCount":40,"GOMAXPROCS":2,"GOMEMLIMIT":9223372036854775807,"GOGC":"75","GODEBUG":"","storageRetention":{}}}"#,
        json(retention),
    )
}

fn build_info(major: u32) -> String {
    let minor = if major >= 3 { 5 } else { 53 };
    format!(
        r#"{{"version":"{major}.{minor}.0","revision":"0000000000000000000000000000000000000000","branch":"HEAD","buildUser":"fake","buildDate":"20260101-00:00:00","goVersion":"go1.24.0"}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::super::data::MetricShape;
    use super::*;

    fn body(path: &str, params: &[(&str, &str)]) -> String {
        let mut data = Data::default();
        data.set("up", MetricShape { series: 11, padding: 0 });
        data.set("wide", MetricShape { series: 1, padding: 2 });
        data.set("none", MetricShape { series: 0, padding: 0 });
        let version = Version { major: 2, retention: "15d".to_owned() };
        let params: Vec<_> = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let reply = reply(&data, &version, path, &params, query(path, &params, 0)).unwrap_or_else(Reply::from);
        String::from_utf8(reply.document.flatten().collect()).unwrap()
    }

    #[test]
    fn labels() {
        assert_eq!(body("/api/v1/labels", &[]), r#"{"status":"success","data":["__name__","instance","namespace","padding"]}"#);
        assert_eq!(
            body("/api/v1/labels", &[("match[]", "up"), ("match[]", "none")]),
            r#"{"status":"success","data":["__name__","instance","namespace"]}"#
        );
        assert_eq!(body("/api/v1/label/__name__/values", &[]), r#"{"status":"success","data":["up","wide"]}"#);
        assert_eq!(body("/api/v1/label/padding/values", &[]), r#"{"status":"success","data":["xx"]}"#);
        assert_eq!(
            body("/api/v1/label/instance/values", &[("match[]", r#"{namespace="ns-0", __name__="up"}"#)]),
            r#"{"status":"success","data":["instance-0000","instance-0010"]}"#
        );
        assert!(body("/api/v1/labels", &[("match[]", "{}")]).contains("bad_data"));
    }

    #[test]
    fn queries() {
        let empty = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        let range = |query| body("/api/v1/query_range", &[("query", query), ("start", "0"), ("end", "15"), ("step", "15")]);
        assert_eq!([range("unknown"), range("none"), range(r#"up{namespace="ns-10"}"#)], [empty; 3]);
        let one = range(r#"{"up", instance="instance-0003"}"#);
        let begin = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","instance":"instance-0003","namespace":"ns-3"},"values":[[0,""#;
        assert!(one.starts_with(begin) && one.ends_with(r#""]]}]}}"#), "{one}");
        let vector = body("/api/v1/query", &[("query", "wide"), ("time", "7")]);
        let begin = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"wide","instance":"instance-0000","namespace":"ns-0","padding":"xx"},"value":[7,""#;
        assert!(vector.starts_with(begin) && vector.ends_with(r#""]}]}}"#), "{vector}");
        assert_eq!(range("up[5m]").split('"').nth(3), Some("error"));
    }

    #[test]
    fn status() {
        assert!(body("/api/v1/status/runtimeinfo", &[]).ends_with(r#""storageRetention":"15d"}}"#));
        assert!(body("/api/v1/status/buildinfo", &[]).contains(r#""version":"2.53.0""#));
        assert_eq!(body("/-/ready", &[]), "Prometheus Server is Ready.\n");
        assert_eq!(body("/api/v2/query", &[]), "404 page not found\n");
    }
}
