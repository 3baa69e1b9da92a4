//! Which members of an answer mean what.

/// What the value that comes next, or the container that is open, means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole answer.
    Answer,
    Status,
    ErrorType,
    Error,
    Warnings,
    Warning,
    Infos,
    Info,
    Data,
    ResultType,
    Result,
    Series,
    /// `values` or `histograms` of a matrix.
    Samples,
    Sample,
    /// Whatever else there is.
    Other,
}

impl Role {
    /// Of a member of an object.
    pub(super) fn of_member(self, key: &[u8]) -> Self {
        match (self, key) {
            (Self::Answer, b"status") => Self::Status,
            (Self::Answer, b"errorType") => Self::ErrorType,
            (Self::Answer, b"error") => Self::Error,
            (Self::Answer, b"warnings") => Self::Warnings,
            (Self::Answer, b"infos") => Self::Infos,
            (Self::Answer, b"data") => Self::Data,
            (Self::Data, b"resultType") => Self::ResultType,
            (Self::Data, b"result") => Self::Result,
            (Self::Series, b"values" | b"histograms") => Self::Samples,
            (Self::Series, b"value" | b"histogram") => Self::Sample,
            _ => Self::Other,
        }
    }

    /// Of an element of an array.
    pub(super) fn of_element(self) -> Self {
        match self {
            Self::Warnings => Self::Warning,
            Self::Infos => Self::Info,
            Self::Result => Self::Series,
            Self::Samples => Self::Sample,
            _ => Self::Other,
        }
    }

    pub(super) fn is_captured(self) -> bool {
        matches!(self, Self::Status | Self::ErrorType | Self::Error | Self::ResultType | Self::Warning | Self::Info)
    }
}
