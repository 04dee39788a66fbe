//! Where the business's hub is, and what it knows us by.

use super::OutRequest;
use model::Redacted;
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};

/// A peer at its address, with the token that is its alone.
pub struct Base {
    url: Url,
    token: Option<Redacted<String>>,
}

/// Without the address, which may hold a secret.
impl std::fmt::Debug for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}

/// Why nobody can be called there. The address is not repeated: it may hold a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BaseError {
    /// Not a URL that paths can be added to.
    #[error("`backend.url` is an `http` or `https` URL with a host")]
    Url,
    /// The token cannot stand in a header.
    #[error("the backend's token has characters that no header may have")]
    Token,
}

impl Base {
    /// The peer at `url`, with or without a slash at its end.
    ///
    /// # Errors
    ///
    /// The address is none that paths can be added to, or the token cannot stand in a header.
    pub fn new(url: &str, token: Option<&Redacted<String>>) -> Result<Self, BaseError> {
        let url = Url::parse(url).map_err(|_| BaseError::Url)?;
        if url.cannot_be_a_base() {
            return Err(BaseError::Url);
        }
        let token = token.map(|token| Redacted(format!("Bearer {}", token.expose())));
        let fits = |token: &Redacted<String>| HeaderValue::from_str(token.expose()).is_ok();
        if !token.as_ref().is_none_or(fits) {
            return Err(BaseError::Token);
        }
        Ok(Self { url, token })
    }

    /// A call for JSON of what is at `path` below the address. Each part of it is percent-encoded, so that
    /// what others chose cannot leave its place.
    pub fn request<'a>(
        &self,
        method: Method,
        path: impl IntoIterator<Item = &'a str>,
        query: &[(&'static str, String)],
    ) -> OutRequest {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = OutRequest::new(method, url).with("accept", "application/json");
        match &self.token {
            Some(token) => request.with("authorization", token.expose().clone()),
            None => request,
        }
    }
}
