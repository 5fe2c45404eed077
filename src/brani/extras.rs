//! What the public API knows beside the order: priority, ordering, tags, customs, invoices, tracking, picked items.
//!
//! A trait of its own, so that a simulation of the main flows need not bring it.

use super::client::Client;
use super::{Error, answer};
use crate::types::OrderCode;
use async_trait::async_trait;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A tag of the organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its id.
    pub id: i64,
    /// The name the packer sees.
    pub name: String,
    /// Its colour.
    #[serde(default)]
    pub color: Option<String>,
}

/// What became of a tag that was added or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The orders it was done for.
    pub order_codes: Vec<OrderCode>,
    /// Brani's warnings. They may repeat data: count them in the log, show them in `explain`.
    pub warnings: Vec<String>,
    /// Brani's errors, likewise.
    pub errors: Vec<String>,
}

/// Customs data of one product of an order. What is not known is told as null, so that an older value goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customs {
    /// Which product.
    pub product_code: String,
    /// Name in English.
    #[serde(default)]
    pub content_name_en: Option<String>,
    /// Country of origin.
    #[serde(default)]
    pub content_country: Option<String>,
    /// Tariff code.
    #[serde(default)]
    pub content_customs_code: Option<String>,
    /// Description.
    #[serde(default)]
    pub content_description: Option<String>,
}

/// Where a parcel is, `status_id_v2` of the unified tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// -1
    Ordered,
    /// 0.1
    CarrierFault,
    /// 0.2
    RecipientFault,
    /// 0.3
    SenderFault,
    /// 1.1
    PickedUp,
    /// 1.2
    Delivered,
    /// 2.1
    Collected,
    /// 2.2
    InTransit,
    /// 2.3
    ReadyForPickup,
    /// 2.4
    Returning,
    /// 2.5
    LastMile,
    /// 3.1
    CancelledByCarrier,
    /// 3.2
    CancelledByRecipient,
    /// 3.3
    CancelledBySender,
    /// 4
    Returned,
    /// 5
    CodCredited,
}

impl DeliveryState {
    /// Reads a code as the contract lists them, given as a number or as a text.
    pub fn from_code(code: &Value) -> Option<Self> {
        let text = match code {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            _ => return None,
        };
        Some(match text.strip_suffix(".0").unwrap_or(&text) {
            "-1" => Self::Ordered,
            "0.1" => Self::CarrierFault,
            "0.2" => Self::RecipientFault,
            "0.3" => Self::SenderFault,
            "1.1" => Self::PickedUp,
            "1.2" => Self::Delivered,
            "2.1" => Self::Collected,
            "2.2" => Self::InTransit,
            "2.3" => Self::ReadyForPickup,
            "2.4" => Self::Returning,
            "2.5" => Self::LastMile,
            "3.1" => Self::CancelledByCarrier,
            "3.2" => Self::CancelledByRecipient,
            "3.3" => Self::CancelledBySender,
            "4" => Self::Returned,
            "5" => Self::CodCredited,
            _ => return None,
        })
    }

    /// The contract's code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Ordered => "-1",
            Self::CarrierFault => "0.1",
            Self::RecipientFault => "0.2",
            Self::SenderFault => "0.3",
            Self::PickedUp => "1.1",
            Self::Delivered => "1.2",
            Self::Collected => "2.1",
            Self::InTransit => "2.2",
            Self::ReadyForPickup => "2.3",
            Self::Returning => "2.4",
            Self::LastMile => "2.5",
            Self::CancelledByCarrier => "3.1",
            Self::CancelledByRecipient => "3.2",
            Self::CancelledBySender => "3.3",
            Self::Returned => "4",
            Self::CodCredited => "5",
        }
    }

    /// The recipient has the parcel.
    pub fn is_delivered(self) -> bool {
        matches!(self, Self::PickedUp | Self::Delivered | Self::CodCredited)
    }

    /// Nothing more is to come (a credited cash on delivery still may follow a delivery).
    pub fn is_final(self) -> bool {
        self.is_delivered()
            || matches!(
                self,
                Self::CancelledByCarrier
                    | Self::CancelledByRecipient
                    | Self::CancelledBySender
                    | Self::Returned
            )
    }
}

/// One entry of the unified tracking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackingStep {
    /// The carrier's state in words.
    pub name: String,
    /// `YYYY-MM-DD HH:MM:SS`, no zone.
    pub date: String,
    /// What it means; `None` for a code that the contract does not list.
    pub state: Option<DeliveryState>,
}

/// The rest of the service.
#[async_trait]
pub trait Extras: Send + Sync {
    /// `POST /order/priority`: 0 none, 1 low, 2 medium, 3 high.
    async fn set_priority(&self, codes: &[OrderCode], priority: u8) -> Result<(), Error>;
    /// `POST /order/ordering`: a lower number is packed earlier, 0 is unset.
    async fn set_ordering(&self, orders: &[(OrderCode, i64)]) -> Result<(), Error>;
    /// `GET /order/org-tags`.
    async fn org_tags(&self) -> Result<Vec<Tag>, Error>;
    /// `GET /order/order-tags/{order_code}`.
    async fn order_tags(&self, code: &OrderCode) -> Result<Vec<Tag>, Error>;
    /// `POST /order/order-tags`.
    async fn add_tag(&self, codes: &[OrderCode], tag: i64) -> Result<Tagged, Error>;
    /// `DELETE /order/order-tags`.
    async fn remove_tag(&self, codes: &[OrderCode], tag: i64) -> Result<Tagged, Error>;
    /// `POST /order/customs`.
    async fn set_customs(&self, code: &OrderCode, customs: &[Customs]) -> Result<(), Error>;
    /// `POST /order/invoice`; a file is streamed, `length` is the body's.
    async fn upload_invoice(&self, code: &OrderCode, body: reqwest::Body, length: u64) -> Result<(), Error>;
    /// `DELETE /order/invoice`; none there is fine.
    async fn delete_invoice(&self, code: &OrderCode) -> Result<(), Error>;
    /// `POST /carriers/track-order`: the unified tracking, in the service's order.
    async fn track_order(&self, code: &OrderCode) -> Result<Vec<TrackingStep>, Error>;
    /// `POST /carriers/order-attributes`.
    async fn set_attribute(&self, code: &OrderCode, attribute: &str, value: &Value) -> Result<(), Error>;
    /// `GET /stock/order/{order_code}/picked-items`; undocumented inside.
    async fn picked_items(&self, code: &OrderCode) -> Result<Vec<Value>, Error>;
}

/// One code as itself, several as a list.
fn one_or_many(codes: &[OrderCode]) -> Value {
    match codes {
        [one] => json!(one),
        many => json!(many),
    }
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|one| match one {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

impl Client {
    async fn tag(&self, method: Method, key: &str, codes: &[OrderCode], tag: i64) -> Result<Tagged, Error> {
        let body = json!({ "order_code": one_or_many(codes), "tag_id": tag });
        let request = self.json(method, &["order", "order-tags"], &body)?;
        let answered = self.read(request).await?;
        Ok(Tagged {
            order_codes: texts(&answered[key]["order_codes"])
                .into_iter()
                .map(OrderCode)
                .collect(),
            warnings: texts(&answered["warnings"]),
            errors: texts(&answered["errors"]),
        })
    }
}

#[async_trait]
impl Extras for Client {
    async fn set_priority(&self, codes: &[OrderCode], priority: u8) -> Result<(), Error> {
        let body = json!({ "order_code": one_or_many(codes), "priority": priority });
        self.save(self.json(Method::POST, &["order", "priority"], &body)?)
            .await?;
        Ok(())
    }

    async fn set_ordering(&self, orders: &[(OrderCode, i64)]) -> Result<(), Error> {
        let orders: Vec<Value> = orders
            .iter()
            .map(|(code, number)| json!({ "order_code": code, "ordering_number": number }))
            .collect();
        let body = json!({ "orders": orders });
        self.save(self.json(Method::POST, &["order", "ordering"], &body)?)
            .await?;
        Ok(())
    }

    async fn org_tags(&self) -> Result<Vec<Tag>, Error> {
        let mut body = self
            .read(self.request(Method::GET, &["order", "org-tags"])?)
            .await?;
        answer::elements(&mut body, "tags", "tag")
    }

    async fn order_tags(&self, code: &OrderCode) -> Result<Vec<Tag>, Error> {
        let request = self.request(Method::GET, &["order", "order-tags", code.as_str()])?;
        answer::elements(&mut self.read(request).await?, "tags", "tag")
    }

    async fn add_tag(&self, codes: &[OrderCode], tag: i64) -> Result<Tagged, Error> {
        self.tag(Method::POST, "added_order_tags", codes, tag).await
    }

    async fn remove_tag(&self, codes: &[OrderCode], tag: i64) -> Result<Tagged, Error> {
        self.tag(Method::DELETE, "removed_order_tags", codes, tag).await
    }

    async fn set_customs(&self, code: &OrderCode, customs: &[Customs]) -> Result<(), Error> {
        let body = json!({ "order_code": code, "customs": customs });
        self.save(self.json(Method::POST, &["order", "customs"], &body)?)
            .await?;
        Ok(())
    }

    async fn upload_invoice(&self, code: &OrderCode, body: reqwest::Body, length: u64) -> Result<(), Error> {
        let part = Part::stream_with_length(body, length)
            // the order's code stays out of the header
            .file_name("invoice.pdf")
            .mime_str("application/pdf")
            .map_err(|error| answer::not_sent(&error))?;
        let request = self
            .request(Method::POST, &["order", "invoice"])?
            .query(&[("order_code", code.as_str())])
            .multipart(Form::new().part("invoice", part));
        self.save(request).await?;
        Ok(())
    }

    async fn delete_invoice(&self, code: &OrderCode) -> Result<(), Error> {
        let request = self
            .request(Method::DELETE, &["order", "invoice"])?
            .query(&[("order_code", code.as_str())]);
        match self.save(request).await {
            Ok(_) | Err(Error::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn track_order(&self, code: &OrderCode) -> Result<Vec<TrackingStep>, Error> {
        let body = json!({ "order_code": code });
        let request = self.json(Method::POST, &["carriers", "track-order"], &body)?;
        let answered = self.read(request).await?;
        // the contract does not say whether it is one entry or a list
        let steps = match &answered["brani_tracking"] {
            Value::Array(list) => list.as_slice(),
            one @ Value::Object(_) => std::slice::from_ref(one),
            _ => &[],
        };
        let text = |step: &Value, name: &str| step[name].as_str().unwrap_or_default().to_owned();
        Ok(steps
            .iter()
            .map(|step| TrackingStep {
                name: text(step, "name"),
                date: text(step, "date"),
                state: DeliveryState::from_code(&step["status_id_v2"]),
            })
            .collect())
    }

    async fn set_attribute(&self, code: &OrderCode, attribute: &str, value: &Value) -> Result<(), Error> {
        let body = json!({ "order_code": code, "attribute_code": attribute, "value": value });
        let request = self.json(Method::POST, &["carriers", "order-attributes"], &body)?;
        self.save(request).await?;
        Ok(())
    }

    async fn picked_items(&self, code: &OrderCode) -> Result<Vec<Value>, Error> {
        let segments = ["stock", "order", code.as_str(), "picked-items"];
        match self.read(self.request(Method::GET, &segments)?).await? {
            Value::Array(list) => Ok(list),
            _ => Err(answer::not_branis("the picked items are no list")),
        }
    }
}
