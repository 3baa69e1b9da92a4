//! What can be wrong with a list server, and when.

/// A fault and the requests that it strikes.
///
/// Requests are counted from the moment the rule is set. Several rules may strike the same request:
/// all of their listing oddities apply, and of the other faults that of the oldest rule.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultRule {
    /// Which requests.
    pub when: When,
    /// What happens to them.
    pub fault: Fault,
}

/// The requests that a [`FaultRule`] strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every request.
    Always,
    /// The next so many requests.
    Times(u64),
    /// Only the k-th request, counted from 1.
    OnRequest(u64),
    /// Every n-th request: the n-th, the 2n-th, and so on.
    EveryNth(u64),
}

/// One way of a server to be wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// This status with an S3 error document of this code. `PermanentRedirect` comes with
    /// `x-amz-bucket-region: eu-central-1`, `AuthorizationHeaderMalformed` with that `<Region>`.
    Status(u16, &'static str),
    /// This status with a `Retry-After` header of so many seconds.
    RetryAfter(u16, u64),
    /// The request is read and never answered.
    HangBeforeHeaders,
    /// This fraction of the body (0 to 1), then silence on an open connection.
    HangMidBody(f64),
    /// The right page, one byte every 100 ms.
    Trickle,
    /// A page that never ends, as fast as the client reads.
    EndlessBody,
    /// Half of the body, then a TCP reset.
    ResetMidBody,
    /// Half of the page in a complete HTTP response: its `Content-Length` is that of the half.
    CutBody,
    /// The page with a closing tag that does not fit.
    InvalidXml,
    /// 200 with the HTML of a login page.
    Html200,
    /// 200 with an S3 error document of this code.
    ErrorDocument200(&'static str),
    /// 200 with nothing.
    EmptyBody200,
    /// 307 with this `Location`.
    Redirect(String),
    /// `start-after` has no effect.
    IgnoreStartAfter,
    /// When `start-after` is not an existing key, the token of that page skips one key.
    SkipAfterSyntheticStartAfter,
    /// No page has more keys than this.
    ShortPages(usize),
    /// So many pages without keys, truncated and with a token that goes on where they were.
    EmptyTruncatedPages(u64),
    /// A page begins with the last key of the page before it.
    RepeatLastKey,
    /// The first and the last key of the page have changed places.
    OutOfOrder,
    /// Truncated, but without a token.
    NoNextToken,
    /// The token of a page that was asked for with a token is that same token.
    SameToken,
    /// The `EncodingType` element stands behind the keys.
    EncodingTypeAfterKeys,
}

/// The deviations from the list protocol that apply to one page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Oddities {
    pub(super) ignore_start_after: bool,
    pub(super) skip_after_synthetic: bool,
    pub(super) short_pages: Option<usize>,
    pub(super) empty_truncated: bool,
    pub(super) repeat_last_key: bool,
    pub(super) out_of_order: bool,
    pub(super) no_next_token: bool,
    pub(super) same_token: bool,
    pub(super) encoding_type_last: bool,
}

/// The rules that are set, with their counts.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Armed>);

#[derive(Debug)]
struct Armed {
    rule: FaultRule,
    requests: u64,
    empty_pages: u64,
}

impl Rules {
    pub(super) fn add(&mut self, rule: FaultRule) {
        self.0.push(Armed { rule, requests: 0, empty_pages: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counts one request and says what strikes it: oddities of the page, and how it is delivered.
    pub(super) fn strike(&mut self) -> (Oddities, Option<Fault>) {
        let mut oddities = Oddities::default();
        let mut delivery = None;
        for armed in &mut self.0 {
            armed.requests += 1;
            let strikes = match armed.rule.when {
                When::Always => true,
                When::Times(n) => armed.requests <= n,
                When::OnRequest(k) => armed.requests == k,
                When::EveryNth(n) => n > 0 && armed.requests % n == 0,
            };
            if !strikes {
                continue;
            }
            match &armed.rule.fault {
                Fault::IgnoreStartAfter => oddities.ignore_start_after = true,
                Fault::SkipAfterSyntheticStartAfter => oddities.skip_after_synthetic = true,
                Fault::ShortPages(max) => oddities.short_pages = Some(*max),
                Fault::EmptyTruncatedPages(pages) => {
                    oddities.empty_truncated = armed.empty_pages < *pages;
                    armed.empty_pages += 1;
                }
                Fault::RepeatLastKey => oddities.repeat_last_key = true,
                Fault::OutOfOrder => oddities.out_of_order = true,
                Fault::NoNextToken => oddities.no_next_token = true,
                Fault::SameToken => oddities.same_token = true,
                Fault::EncodingTypeAfterKeys => oddities.encoding_type_last = true,
                other => delivery = delivery.or_else(|| Some(other.clone())),
            }
        }
        (oddities, delivery)
    }
}
