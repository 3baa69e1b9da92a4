//! The shell of the status page: what surrounds the panels' sections. Plain HTML, no script.

use std::sync::Arc;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Panel;

const STYLE: &str = "\
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{margin:2rem auto;max-width:80rem;padding:0 1rem}\
h1{font-size:1.4rem}h2{font-size:1.2rem;margin-top:2rem}h3{font-size:1rem;margin:1.2rem 0 .3rem}\
table{border-collapse:collapse;width:100%}th,td{padding:.25rem .7rem;text-align:left;border-bottom:1px solid #8884}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}nav a{margin-right:1rem}code{font-size:.9em;overflow-wrap:anywhere}\
.bad{color:#c22;font-weight:600}.warn{color:#b60}.good{color:#281}.dim{opacity:.7}@media(prefers-color-scheme:dark){\
.bad{color:#f66}.warn{color:#fa4}.good{color:#6c6}}";

pub(super) fn render(panels: &[Arc<dyn Panel>]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { "kube-s3-exporter" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "kube-s3-exporter " span.dim { (env!("CARGO_PKG_VERSION")) } }
                nav { @for page in ["metrics", "health", "readyz", "livez"] { a href={ "/" (page) } { "/" (page) } } }
                @if panels.is_empty() { p.warn { "No subsystem is switched on." } }
                @for panel in panels { (panel.section()) }
            }
        }
    }
}
