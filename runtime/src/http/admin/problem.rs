//! Errors of the API as `application/problem+json` (RFC 9457), with a stable code. Internal texts stay in the log.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tracing::error;

use crate::domain::PluginName;
use crate::sandbox::LoadFailure;
use crate::store::StoreError;

/// An error of the API.
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
}

impl Problem {
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request", detail: detail.into() }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: "not_found", detail: detail.into() }
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, code: "conflict", detail: detail.into() }
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "unavailable", detail: detail.into() }
    }

    pub(super) fn refused_plugin(name: &PluginName, failure: &LoadFailure) -> Self {
        let detail = format!("{name} did not load at stage {}: it {failure}", failure.stage.code());
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, code: "plugin_refused", detail }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::Cursor = error {
            return Self::bad_request(error.to_string());
        }
        error!(error = &error as &dyn std::error::Error, "the API could not use the store");
        let detail = "the store did not answer; see the server's log".into();
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: "store_unavailable", detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error");
        let body = json!({ "title": title, "status": self.status.as_u16(), "code": self.code, "detail": self.detail });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

pub(super) fn unauthorized() -> Response {
    let detail = "send `Authorization: Bearer` with the token from the file `admin-token` beside the server's database".into();
    Problem { status: StatusCode::UNAUTHORIZED, code: "unauthorized", detail }.into_response()
}

pub(super) async fn not_found() -> Problem {
    Problem::not_found("there is nothing at this path")
}
