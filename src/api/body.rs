//! Reads the body of a request within limits on its size, its time, and the bytes held by all requests.
//!
//! Called by intake. The bytes count until the request is answered, so that neither slow senders nor an
//! outage of Redis can eat the memory. A sender that is refused is heard out as far as is reasonable:
//! closing on unread data makes many a client report a reset connection in place of the answer.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::refusal::Refusal;
use crate::config;

/// A refused body is read on up to here, in bytes.
const HEARD_OUT: usize = 16 << 20;

/// The limits, and the count of bytes held.
#[derive(Debug)]
pub(super) struct Bodies {
    max: u64,
    within: Duration,
    room: Semaphore,
}

/// A body and its place among the bytes held.
#[derive(Debug)]
pub(super) struct Held<'a> {
    /// As received.
    pub(super) bytes: Bytes,
    _room: SemaphorePermit<'a>,
}

impl Bodies {
    /// No body held.
    pub(super) fn new(settings: &config::Intake) -> Self {
        let room = usize::try_from(settings.max_waiting_bytes.0).unwrap_or(usize::MAX);
        Self {
            max: settings.max_body.0,
            within: settings.read_timeout.0,
            room: Semaphore::new(room.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Reads a whole body.
    ///
    /// # Errors
    /// When it is too large, too slow or broken, or too many bytes are held already.
    pub(super) async fn read(&self, request: Request) -> Result<Held<'_>, Refusal> {
        // Who asks first whether to send the body is answered before it is sent.
        let asks_first = request.headers().contains_key(header::EXPECT);
        let mut body = request.into_body();
        if body.size_hint().lower() > self.max {
            if !asks_first {
                self.hear_out(&mut body).await;
            }
            return Err(self.too_large());
        }
        let result = timeout(self.within, self.collect(&mut body))
            .await
            .unwrap_or(Err(Refusal::Slow));
        if let Err(Refusal::TooLarge { .. } | Refusal::Overloaded) = result {
            self.hear_out(&mut body).await;
        }
        result
    }

    /// Takes a body of a request that is refused before anything of it is read.
    pub(super) async fn discard(&self, request: Request) {
        if !request.headers().contains_key(header::EXPECT) {
            self.hear_out(&mut request.into_body()).await;
        }
    }

    async fn collect(&self, body: &mut Body) -> Result<Held<'_>, Refusal> {
        let mut held = self.room_for(0)?;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else {
                continue;
            };
            let length = bytes.len().saturating_add(data.len());
            if u64::try_from(length).unwrap_or(u64::MAX) > self.max {
                return Err(self.too_large());
            }
            held.merge(self.room_for(data.len())?);
            bytes.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: bytes.freeze(),
            _room: held,
        })
    }

    fn room_for(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| self.too_large())?;
        self.room.try_acquire_many(bytes).map_err(|_| Refusal::Overloaded)
    }

    /// Reads on, and drops what comes.
    async fn hear_out(&self, body: &mut Body) {
        let listen = async {
            let mut heard = 0;
            while let Some(Ok(frame)) = body.frame().await {
                heard += frame.data_ref().map_or(0, Bytes::len);
                if heard > HEARD_OUT {
                    return;
                }
            }
        };
        // Too long is as good as the end: the answer follows, and the connection closes.
        let _heard = timeout(self.within, listen).await;
    }

    fn too_large(&self) -> Refusal {
        Refusal::TooLarge { limit: self.max }
    }
}
