//! Brani's wire structures, as the contract of api.brani.cz writes them. No logic, no shop, no ledger.

use crate::types::{EventId, OrderCode, StatusId, WebhookId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// An order, the `data` of `POST /order/upsert`. Field order is the order of the canonical form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Order {
    /// The upsert key.
    pub code: OrderCode,
    /// ISO 8601 with offset, in the past.
    pub creation_time: String,
    /// Required, may be empty.
    pub email: String,
    /// Required, may be empty.
    pub phone: String,
    /// Pickup point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_details: Option<ShippingDetails>,
    /// 1 cash on delivery, 2 bank transfer, 3 cash, 4 card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_method_code: Option<u8>,
    /// One that e-shop info told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method_guid: Option<String>,
    /// One that e-shop info told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_guid: Option<String>,
    /// Whether the order is paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid: Option<bool>,
    /// IČO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_id: Option<String>,
    /// DIČ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vat_id: Option<String>,
    /// Slovak DIČ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    /// Where the parcel goes.
    pub delivery_address: Address,
    /// Sold at the counter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cash_desk_order: Option<bool>,
    /// Both addresses are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses_equal: Option<bool>,
    /// Always present.
    pub notes: Notes,
    /// The order's status; put in by `send`, not part of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// A required key that may be null.
    pub billing_address: Option<Address>,
    /// Money.
    pub price: Price,
    /// A link to the order in the shop's administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_url: Option<String>,
    /// What is packed.
    pub items: Vec<Item>,
    /// Variable symbol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vs: Option<String>,
    /// A second number of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_code: Option<String>,
}

/// A pickup point.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShippingDetails {
    /// The pickup point's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch_id: Option<String>,
    /// The pickup point's last-mile carrier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_id: Option<String>,
}

/// An address; billing adds the three numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Address {
    /// Required.
    pub full_name: String,
    /// Company.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Street, with the number where it could not be told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// House number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub house_number: Option<String>,
    /// City.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// District.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// A second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// Region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region_name: Option<String>,
    /// Billing only: IČO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub company_id: Option<String>,
    /// Billing only: DIČ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vat_id: Option<String>,
    /// Billing only: Slovak DIČ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
}

/// Notes; the object is always there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notes {
    /// The carrier's number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
    /// The shop's remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eshop_remark: Option<String>,
    /// The customer's remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_remark: Option<String>,
}

/// A status reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// One that e-shop info told.
    pub id: StatusId,
}

/// Money, two places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Price {
    /// What is left to pay; for cash on delivery the amount to collect.
    #[serde(with = "rust_decimal::serde::str")]
    pub to_pay: Decimal,
    /// The order's total with VAT; becomes the parcel's insured value.
    #[serde(with = "rust_decimal::serde::str")]
    pub with_vat: Decimal,
    /// ISO 4217.
    pub currency_code: String,
}

/// What kind of line an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemType {
    /// Goods.
    Product,
    /// Used goods.
    SecondHand,
    /// A service.
    Service,
    /// A gift.
    Gift,
    /// A set.
    ProductSet,
}

impl ItemType {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            ItemType::Product => "product",
            ItemType::SecondHand => "second-hand",
            ItemType::Service => "service",
            ItemType::Gift => "gift",
            ItemType::ProductSet => "product-set",
        }
    }
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// Unique inside the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<i64>,
    /// Its kind.
    pub item_type: ItemType,
    /// Product or variant code (SKU).
    pub code: String,
    /// Name.
    pub name: String,
    /// Variant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant_name: Option<String>,
    /// A required key that may be null.
    pub product_guid: Option<String>,
    /// How many.
    #[serde(with = "rust_decimal::serde::str")]
    pub amount: Decimal,
    /// Of what.
    pub amount_unit: String,
    /// Kilograms of one, three places.
    #[serde(with = "rust_decimal::serde::str")]
    pub weight: Decimal,
    /// Per cent.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        with = "rust_decimal::serde::str_option"
    )]
    pub vat_rate: Option<Decimal>,
    /// Total of the line with VAT.
    #[serde(
        skip_serializing_if = "Option::is_none",
        default,
        with = "rust_decimal::serde::str_option"
    )]
    pub item_price_with_vat: Option<Decimal>,
    /// Bar code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ean: Option<String>,
    /// Brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Supplier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplier_name: Option<String>,
    /// Where it lies in the warehouse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_location: Option<String>,
    /// Remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// A free field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_field: Option<String>,
    /// The line's own status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Picture URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it was bought for; its inside is undocumented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buy_price: Option<serde_json::Value>,
    /// A link to the product in the shop's administration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_url: Option<String>,
    /// Paid options of the product, as the contract writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub surcharge_parameters: Option<serde_json::Value>,
    /// Customs: name in English.
    #[serde(rename = "content_name_en", skip_serializing_if = "Option::is_none")]
    pub content_name_en: Option<String>,
    /// Customs: country of origin.
    #[serde(rename = "content_country", skip_serializing_if = "Option::is_none")]
    pub content_country: Option<String>,
    /// Customs: tariff code.
    #[serde(rename = "content_customs_code", skip_serializing_if = "Option::is_none")]
    pub content_customs_code: Option<String>,
    /// Customs: description.
    #[serde(rename = "content_description", skip_serializing_if = "Option::is_none")]
    pub content_description: Option<String>,
}

/// A status with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedStatus {
    /// The id that orders refer to.
    pub id: StatusId,
    /// The name the packer sees.
    pub name: String,
}

/// The list of statuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statuses {
    /// All of them.
    pub statuses: Vec<NamedStatus>,
}

/// A shipping or payment method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// A UUID; a numeric id is left-padded into one by the service.
    pub guid: String,
    /// The name the packer sees.
    pub name: String,
}

/// A list of methods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Methods {
    /// All of them.
    pub methods: Vec<Named>,
}

/// Methods for consumers and for wholesale.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetailWholesale {
    /// For consumers.
    pub retail: Methods,
    /// For wholesale.
    pub wholesale: Methods,
}

/// What Brani knows of the e-shop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EshopInfo {
    /// Order statuses.
    pub order_statuses: Statuses,
    /// Shipping methods.
    pub shipping_methods: RetailWholesale,
    /// Payment methods.
    pub payment_methods: RetailWholesale,
}

/// The `summary` of `GET /eshop/info`; every field may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Brani's id of the e-shop: part of the ledger's identity.
    #[serde(default)]
    pub eshop_id: Option<i64>,
    /// Its name.
    #[serde(default)]
    pub eshop_name: Option<String>,
}

/// The answer of `GET /eshop/info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EshopInfoAnswer {
    /// Null when nothing was ever sent.
    #[serde(default)]
    pub data: Option<EshopInfo>,
    /// May be absent on older answers.
    #[serde(default)]
    pub summary: Option<Summary>,
}

/// One registered webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// The event type, one of fifteen.
    pub event_type: String,
    /// Where Brani posts.
    pub webhook_url: String,
}

/// One stored event of an order webhook. Only the required fields are relied upon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvent {
    /// Unique and growing.
    pub id: EventId,
    /// The webhook it belongs to.
    pub webhook_id: WebhookId,
    /// `YYYY-MM-DD HH:MM:SS`, no zone: the service's local time (Europe/Prague, an inference).
    pub event_creation: String,
    /// The order.
    pub order_code: OrderCode,
    /// `status_change`: the new status.
    #[serde(default)]
    pub event_status_id: Option<StatusId>,
    /// `package_number`.
    #[serde(default)]
    pub event_package_number: Option<String>,
    /// `order_history`: the text.
    #[serde(default)]
    pub event_order_history: Option<String>,
    /// When Brani's push succeeded, if it did.
    #[serde(default)]
    pub date_successful: Option<String>,
}

/// One page of an order webhook's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsPage {
    /// The events.
    pub webhook_events: Vec<OrderEvent>,
    /// How many there are in all.
    pub total_items: u64,
    /// The page size that was answered (the service may cap what was asked).
    pub items_per_page: u64,
    /// From 1.
    pub page: u64,
    /// How many are here.
    pub items_on_current_page: u64,
}

/// One stored event of a general webhook (no order code).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneralEvent {
    /// Unique and growing.
    pub id: EventId,
    /// The webhook it belongs to.
    pub webhook_id: WebhookId,
    /// No zone given.
    pub created_at: String,
    /// The event type.
    pub event_type: String,
    /// Undocumented inside.
    pub payload: serde_json::Map<String, serde_json::Value>,
}

/// One page of a general webhook's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneralPage {
    /// The events.
    pub webhook_events: Vec<GeneralEvent>,
    /// How many there are in all.
    pub total_items: u64,
    /// The page size that was answered.
    pub items_per_page: u64,
    /// From 1.
    pub page: u64,
    /// How many are here.
    pub items_on_current_page: u64,
}

/// The fifteen event types, order types first.
pub const ORDER_EVENT_TYPES: [&str; 7] = [
    "balic_packed",
    "balic_picked",
    "package_number",
    "order_history",
    "status_change",
    "added_to_cart",
    "shipping_change",
];

/// The event types that have no order code and a listing of their own.
pub const GENERAL_EVENT_TYPES: [&str; 8] = [
    "movement_document_created",
    "movement_document_updated",
    "inventory_check_completed",
    "personal_pickup_stored",
    "personal_pickup_issued",
    "task_created",
    "task_assigned",
    "task_status_changed",
];

/// Whether Brani knows an event type of this name.
pub fn is_event_type(name: &str) -> bool {
    ORDER_EVENT_TYPES.contains(&name) || GENERAL_EVENT_TYPES.contains(&name)
}
