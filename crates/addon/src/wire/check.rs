//! One entry to all decoders, for the differential fuzz test against the TypeScript codec.

use super::types::*;
use super::{
    Batch, Bundle, Checkpoint, DecodeError, FetchKind, NewView, PrePrepare, REPLICAS_MAX, Reader,
    Reply, ViewChange, Vote, check_busy, check_read, check_read_answer, check_state_fetch,
    check_state_nodes, check_status,
};

/// Whether `payload` decodes as a message of `message_type`. HELLO is not among them: the
/// transport alone decodes it.
///
/// # Errors
/// What is wrong first, in the order of the fields.
pub fn decode_check(message_type: u8, payload: &[u8]) -> Result<(), DecodeError> {
    match message_type {
        BUNDLE | FETCHED_BUNDLE => Bundle::decode(payload).map(drop),
        PRE_PREPARE => PrePrepare::decode(payload).map(drop),
        PREPARE => Vote::decode_prepare(payload).map(drop),
        COMMIT => Vote::decode_commit(payload).map(drop),
        CHECKPOINT => Checkpoint::decode(payload, true).map(drop),
        VIEW_CHANGE => ViewChange::decode(payload).map(drop),
        NEW_VIEW | FETCHED_NEW_VIEW => NewView::decode(payload).map(drop),
        STATUS => check_status(payload),
        DECIDED => check_decided(payload),
        COMPLAINT => check_complaint(payload),
        FETCH | UNAVAILABLE => FetchKind::decode(payload).map(drop),
        FETCHED_BATCH => Batch::decode(payload).map(drop),
        FETCHED_VIEW_CHANGE => {
            split_sender(payload).and_then(|(_, rest)| ViewChange::decode(rest).map(drop))
        }
        STATE_FETCH => check_state_fetch(payload),
        STATE_NODES => check_state_nodes(payload),
        REPLY => Reply::decode(payload).map(drop),
        BUSY => check_busy(payload),
        READ => check_read(payload),
        READ_ANSWER => check_read_answer(payload),
        _ => Err(DecodeError::UnknownType),
    }
}

fn check_decided(payload: &[u8]) -> Result<(), DecodeError> {
    decided(payload).map(drop)
}

/// Decodes a DECIDED payload: sequence and content.
///
/// # Errors
/// What is wrong first.
pub fn decided(payload: &[u8]) -> Result<(u64, Batch<'_>), DecodeError> {
    let mut reader = Reader::new(payload);
    let sequence = reader.u53()?;
    let batch = Batch::read(&mut reader)?;
    reader.finish()?;
    Ok((sequence, batch))
}

fn check_complaint(payload: &[u8]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(payload);
    reader.u53()?;
    reader.finish()
}

/// Splits the sender off a FETCHED_VIEW_CHANGE payload.
///
/// # Errors
/// No sender, or none that a cluster can have.
pub fn split_sender(payload: &[u8]) -> Result<(u8, &[u8]), DecodeError> {
    let mut reader = Reader::new(payload);
    let sender = reader.below(REPLICAS_MAX as u8)?;
    Ok((sender, &payload[1..]))
}
