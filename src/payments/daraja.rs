//! M-Pesa, called over HTTP.

use super::{Channel, Metrics, Provider};
use crate::clock::Clock;
use crate::outcall::{CallFault, OutAnswer, OutRequest, Outcall};
use crate::store::PaymentRow;
use async_trait::async_trait;
use backend::payment::{Pushed, Queried};
use model::{Monotonic, Redacted};
use mpesa::{Account, Call, Number, Order, PushAnswer, QueryAnswer, Token, TokenFault};
use reqwest::Method;
use tokio::sync::Mutex;
use tracing::error;

/// What stands in the prompt beside the reference: at most 13 characters.
const DESCRIPTION: &str = "Payment";
/// The provider's number for a request that could not even be written: a wrong field.
const WRONG_FIELD: u32 = 400;

/// Carries one call.
#[async_trait]
pub trait Wire: Send + Sync + 'static {
    /// Makes it, once.
    ///
    /// # Errors
    ///
    /// As [`Outcall::call`].
    async fn call(&self, request: OutRequest) -> Result<OutAnswer, CallFault>;
}

#[async_trait]
impl Wire for Outcall {
    async fn call(&self, request: OutRequest) -> Result<OutAnswer, CallFault> {
        Self::call(self, request).await
    }
}

/// Safaricom's Daraja.
pub struct Daraja {
    account: Account,
    base_url: Box<str>,
    wire: Box<dyn Wire>,
    clock: Clock,
    metrics: Metrics,
    /// Whoever holds it may fetch a new one; the others wait for what he brings.
    token: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    /// When none was to be had: who waited then is told the same.
    failed_at: Option<Monotonic>,
}

impl Daraja {
    /// Daraja at `base_url`, without its last slash, for that account.
    pub fn new(
        account: Account,
        base_url: &str,
        wire: Box<dyn Wire>,
        clock: Clock,
        metrics: Metrics,
    ) -> Self {
        let base_url = base_url.trim_end_matches('/').into();
        Self { account, base_url, wire, clock, metrics, token: Mutex::default() }
    }

    async fn call(&self, call: Call) -> Result<OutAnswer, CallFault> {
        let method = if call.method == "GET" { Method::GET } else { Method::POST };
        let request = OutRequest {
            headers: call.headers,
            body: Redacted(call.body.0.into_bytes()),
            ..OutRequest::new(method, format!("{}{}", self.base_url, call.path))
        };
        self.wire.call(request).await
    }

    /// A token that is good, fetched by one caller at a time; not `stale`, which was refused.
    async fn token(&self, stale: Option<Token>) -> Option<Token> {
        let began = self.clock.now().monotonic;
        let mut held = self.token.lock().await;
        if let Some(stale) = stale {
            held.token.take_if(|it| it.refresh_at() == stale.refresh_at());
        }
        if let Some(token) = held.token.as_ref().filter(|it| it.is_fresh(self.clock.now().wall)) {
            return Some(token.clone());
        }
        held.token = None;
        if held.failed_at.is_some_and(|at| began < at) {
            return None;
        }
        match self.fetch().await {
            Ok(token) => {
                *held = Held { token: Some(token.clone()), failed_at: None };
                Some(token)
            }
            Err(()) => {
                held.failed_at = Some(self.clock.now().monotonic);
                None
            }
        }
    }

    async fn fetch(&self) -> Result<Token, ()> {
        let answer = self.call(self.account.token_call()).await;
        let now = self.clock.now().wall;
        let read = answer.map(|it| Token::read(it.status, it.body.expose(), now));
        let (outcome, token) = match read {
            Ok(Ok(token)) => ("given", Ok(token)),
            Ok(Err(fault)) => {
                if fault == TokenFault::Refused {
                    error!("M-Pesa refuses mpesa.consumer_key or its secret: nobody can pay");
                }
                (fault.code(), Err(()))
            }
            Err(fault) => (fault.code(), Err(())),
        };
        self.metrics.called("token", outcome);
        token
    }

    async fn pushed(&self, order: &Order) -> Pushed {
        let mut stale = None;
        for _ in 0..2 {
            // Without a token nothing is asked.
            let Some(token) = self.token(stale.take()).await else { return Pushed::NotSent };
            let call = self.account.push_call(&token, order, self.clock.now().wall);
            return match self.call(call).await {
                Err(CallFault::NotSent) => Pushed::NotSent,
                Err(CallFault::Unknown(_)) => Pushed::Unknown,
                Ok(answer) => match PushAnswer::read(answer.status, answer.body.expose()) {
                    PushAnswer::Accepted { checkout } => Pushed::Accepted { checkout },
                    PushAnswer::Refused { code } => Pushed::Refused { code },
                    PushAnswer::Unknown => Pushed::Unknown,
                    PushAnswer::TokenRefused => {
                        self.metrics.called("push", "token_refused");
                        stale = Some(token);
                        continue;
                    }
                },
            };
        }
        Pushed::NotSent
    }

    async fn queried(&self, checkout: &str) -> Queried {
        let mut stale = None;
        for _ in 0..2 {
            let Some(token) = self.token(stale.take()).await else { return Queried::Unknown };
            let call = self.account.query_call(&token, checkout, self.clock.now().wall);
            let Ok(answer) = self.call(call).await else { return Queried::Unknown };
            return match QueryAnswer::read(checkout, answer.status, answer.body.expose()) {
                QueryAnswer::Paid => Queried::Paid,
                QueryAnswer::Declined { code } => Queried::Declined { code },
                QueryAnswer::Pending => Queried::Pending,
                QueryAnswer::Unknown => Queried::Unknown,
                QueryAnswer::TokenRefused => {
                    self.metrics.called("query", "token_refused");
                    stale = Some(token);
                    continue;
                }
            };
        }
        Queried::Unknown
    }
}

#[async_trait]
impl Provider for Daraja {
    fn channel(&self) -> Channel {
        self.account.transaction_type().into()
    }

    async fn push(&self, row: &PaymentRow) -> Pushed {
        let order = Number::of(&row.payment.number).and_then(|number| {
            Order::new(number, row.payment.amount, &row.reference, DESCRIPTION).ok()
        });
        let Some(order) = order else { return Pushed::Refused { code: WRONG_FIELD } };
        let pushed = self.pushed(&order).await;
        self.metrics.called("push", pushed.as_str());
        pushed
    }

    async fn query(&self, checkout: &str) -> Queried {
        let answer = self.queried(checkout).await;
        self.metrics.called("query", answer.as_str());
        answer
    }
}
