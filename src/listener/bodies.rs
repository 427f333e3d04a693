//! Reads the body of a request within limits on its size, its time, and the bytes held by all requests.
//!
//! The bytes count until the request is answered, so that neither slow senders nor an
//! outage of Redis can eat the memory. A sender that is refused is heard out as far as is reasonable:
//! closing on unread data makes many a client report a reset connection in place of the answer.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// A refused body is read on up to here, in bytes.
const HEARD_OUT: usize = 16 << 20;

/// A body that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The largest body, in bytes.
        limit: u64,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive in time")]
    Slow,
    /// It broke off, or its chunks are no chunks.
    #[error("the body could not be read to its end")]
    Broken,
    /// All requests together hold as many bytes as they may.
    #[error("too many bytes of bodies are held already")]
    Full,
}

/// The limits of a listener, and the count of bytes held.
#[derive(Debug)]
pub struct Bodies {
    within: Duration,
    room: Semaphore,
}

/// A body and its place among the bytes held.
#[derive(Debug)]
pub struct Held<'a> {
    /// As received.
    pub bytes: Bytes,
    _room: SemaphorePermit<'a>,
}

impl Bodies {
    /// No body held; all together may hold `room` bytes, and each has the time `within` to arrive.
    #[must_use]
    pub fn new(room: u64, within: Duration) -> Self {
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        Self {
            within,
            room: Semaphore::new(room.min(Semaphore::MAX_PERMITS)),
        }
    }

    /// Reads a whole body of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is too large, too slow or broken, or too many bytes are held already.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body, limit: u64) -> Result<Held<'_>, BodyError> {
        // Who asks first whether to send the body is answered before it is sent.
        let asks_first = headers.contains_key(header::EXPECT);
        if body.size_hint().lower() > limit {
            if !asks_first {
                self.hear_out(&mut body).await;
            }
            return Err(BodyError::TooLarge { limit });
        }
        let result = timeout(self.within, self.collect(&mut body, limit))
            .await
            .unwrap_or(Err(BodyError::Slow));
        if let Err(BodyError::TooLarge { .. } | BodyError::Full) = result {
            self.hear_out(&mut body).await;
        }
        result
    }

    /// Takes a body of a request that is refused before anything of it is read.
    pub async fn discard(&self, headers: &HeaderMap, mut body: Body) {
        if !headers.contains_key(header::EXPECT) {
            self.hear_out(&mut body).await;
        }
    }

    async fn collect(&self, body: &mut Body, limit: u64) -> Result<Held<'_>, BodyError> {
        let mut held = self.room_for(0)?;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
                continue;
            };
            let length = bytes.len().saturating_add(data.len());
            if u64::try_from(length).unwrap_or(u64::MAX) > limit {
                return Err(BodyError::TooLarge { limit });
            }
            held.merge(self.room_for(data.len())?);
            bytes.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: bytes.freeze(),
            _room: held,
        })
    }

    fn room_for(&self, bytes: usize) -> Result<SemaphorePermit<'_>, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::Full)?;
        self.room.try_acquire_many(bytes).map_err(|_| BodyError::Full)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_bodies_share_one_room() {
        let bodies = Bodies::new(10, Duration::from_secs(10));
        let headers = HeaderMap::new();
        let read = async |text: &'static str| bodies.read(&headers, Body::from(text), 8).await;
        let first = read("eight...").await.expect("there is room");
        assert_eq!(first.bytes, "eight...");
        assert_eq!(read("abc").await.expect_err("2 are left"), BodyError::Full);
        let second = read("ab").await.expect("2 are left");
        drop((first, second));
        assert!(read("12345678").await.is_ok(), "all is given back");
        assert_eq!(
            read("123456789").await.expect_err("too large"),
            BodyError::TooLarge { limit: 8 }
        );
    }
}
