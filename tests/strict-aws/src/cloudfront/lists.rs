//! CloudFront's lists, in pages: the emulator answers them whole.

use xmltree::{Element, XMLNode};

use crate::exchange::Exchange;
use crate::identify::query;
use crate::xml::{self, text_at};

/// Cuts a list to the page that was asked for. `NextMarker` is the id of the page's last item.
pub(super) fn page(exchange: &Exchange<'_>, list: &mut Element) {
    let query = query(exchange.request);
    let marker = query.get("Marker").cloned().unwrap_or_default();
    let asked = query.get("MaxItems").and_then(|items| items.parse().ok());
    let size = exchange.config.page_size.min(asked.unwrap_or(100)).max(1);
    let Some(items) = list.get_mut_child("Items") else {
        return;
    };
    let mut all = std::mem::take(&mut items.children);
    all.retain(|node| node.as_element().is_some());
    if !marker.is_empty() {
        let seen = all
            .iter()
            .position(|node| id(node) == marker)
            .map_or(all.len(), |index| index + 1);
        all.drain(..seen);
    }
    let truncated = all.len() > size;
    all.truncate(size);
    let next = all.last().map(id).filter(|_| truncated);
    let quantity = all.len();
    items.children = all;
    if quantity == 0 {
        list.take_child("Items");
    }
    xml::set(list, "Quantity", &quantity.to_string());
    xml::set(list, "MaxItems", &asked.unwrap_or(100).to_string());
    if list.get_child("Marker").is_some() {
        xml::set(list, "Marker", &marker);
    }
    if list.get_child("IsTruncated").is_some() {
        xml::set(list, "IsTruncated", &truncated.to_string());
    }
    if let Some(next) = next {
        xml::set(list, "NextMarker", &next);
    }
}

/// An item's id: its first `Id` at any depth (a policy's is inside the summary), or its own text.
fn id(node: &XMLNode) -> String {
    let Some(item) = node.as_element() else {
        return String::new();
    };
    let mut found = None;
    xml::visit(item, &mut |element| {
        if found.is_none() && element.name == "Id" {
            found = Some(text_at(element, &[]));
        }
    });
    found.unwrap_or_else(|| text_at(item, &[]))
}
