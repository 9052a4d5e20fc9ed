//! When a request is forgotten, its messages in the room are redacted: the edits first, because after the redaction of a message a
//! homeserver does not list its edits any more, and they stay readable (observed with Synapse 1.163).

use crate::domain::back_off::Peer;
use crate::flow::attempt::{Tried, attempt};
use crate::flow::failure::Failure;
use crate::outside::matrix::bot;
use crate::outside::site::Site;
use crate::outside::store::{self, OwedRow, Store};

/// Redacts the message that `row` names.
pub(crate) fn redact(site: &Site, store: &mut Store, row: OwedRow) -> Result<Tried, store::Error> {
    let act = |store: &mut Store| {
        let Some(event) = store.redaction(row)? else { return Ok(None) };
        let secret = site.state.secret()?;
        let txn_id = |event_id: &str| secret.token("txnId of redaction", event_id);
        bot::redact(site, &event, &txn_id).map(Some).map_err(|cause| Failure::from(cause).on_the_way(Peer::Room))
    };
    attempt(site, store, row, row.id, act, |store, holder, ()| {
        Ok(if store.settle_redaction(row, holder)? { Tried::Succeeded } else { Tried::Elsewhere })
    })
}
