//! Items as tables have them, as DynamoDB JSON.

use shardarrow::page::{KeyAttribute, KeyKind};

use crate::random::Random;

/// What the items of a table look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// 6 attributes, 0.25 KB: a line of an order.
    Small,
    /// 28 attributes, 1.6 KB: a customer, with an address, tags and preferences; three attributes are often missing.
    Medium,
    /// 200 attributes, 9 KB: readings of sensors.
    Wide,
    /// 10 attributes, 3 KB, four levels deep: an order as one document.
    Nested,
}

/// Names and values in the order in which the service sends them.
pub type Item = Vec<(String, String)>;

const STATUS: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
const CITIES: [&str; 6] = ["Berlin", "München", "São Paulo", "New York", "Tōkyō", "Lyon"];
const WORDS: [&str; 12] = [
    "please", "deliver", "before", "noon", "the", "doorbell", "is", "broken", "call", "café", "around",
    "corner",
];

impl Shape {
    pub const ALL: [Self; 4] = [Self::Small, Self::Medium, Self::Wide, Self::Nested];

    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Wide => "wide",
            Self::Nested => "nested",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    /// The key schema of its table, hash key first.
    pub fn keys(self) -> Vec<KeyAttribute> {
        let key = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
        match self {
            Self::Small => vec![key("customer_id", KeyKind::Text), key("line", KeyKind::Text)],
            Self::Medium => vec![key("customer_id", KeyKind::Text)],
            Self::Wide => vec![key("device", KeyKind::Text), key("at", KeyKind::Number)],
            Self::Nested => vec![key("order_id", KeyKind::Text)],
        }
    }

    pub fn item(self, random: &mut Random) -> Item {
        match self {
            Self::Small => small(random),
            Self::Medium => medium(random),
            Self::Wide => wide(random),
            Self::Nested => nested(random),
        }
    }

    /// The item after somebody changed some of its attributes; never its keys.
    pub fn changed(self, item: &Item, random: &mut Random) -> Item {
        let fresh = self.item(random);
        let keys = self.keys();
        let is_key = |name: &str| keys.iter().any(|key| key.name == name);
        let change = |(name, value): &(String, String)| {
            let other = fresh.iter().find(|(other, _)| other == name && !is_key(other) && random.chance(15));
            (name.clone(), other.map_or_else(|| value.clone(), |(_, value)| value.clone()))
        };
        item.iter().map(change).collect()
    }
}

/// The attributes as one object.
pub fn object<'a>(attributes: impl IntoIterator<Item = &'a (String, String)>) -> String {
    let members: Vec<String> =
        attributes.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// `text` must not need escapes, or have them already.
fn s(text: impl AsRef<str>) -> String {
    format!("{{\"S\":\"{}\"}}", text.as_ref())
}

fn n(number: impl std::fmt::Display) -> String {
    format!("{{\"N\":\"{number}\"}}")
}

fn bool(value: bool) -> String {
    format!("{{\"BOOL\":{value}}}")
}

fn map(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{\"M\":{{{}}}}}", members.join(","))
}

fn list(values: &[String]) -> String {
    format!("{{\"L\":[{}]}}", values.join(","))
}

fn set(kind: &str, values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("{{\"{kind}\":[{}]}}", quoted.join(","))
}

/// With two places and without idle zeros, as the service writes it.
fn price(random: &mut Random) -> String {
    let cents = random.between(1, 99_999);
    let text = format!("{}.{:02}", cents / 100, cents % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn moment(random: &mut Random) -> String {
    let (day, hour, minute) = (random.between(1, 28), random.below(24), random.below(60));
    format!("2026-11-{day:02}T{hour:02}:{minute:02}:{:02}.{:03}Z", random.below(60), random.below(1000))
}

fn sentence(random: &mut Random, words: u64) -> String {
    let mut text: Vec<&str> = (0..words).map(|_| random.one_of(&WORDS)).collect();
    if random.chance(10) {
        text.push("\\n\\\"thanks\\\"");
    }
    text.join(" ")
}

fn named(attributes: Vec<(&str, String)>) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn small(random: &mut Random) -> Item {
    named(vec![
        ("status", s(random.one_of(&STATUS))),
        ("customer_id", s(random.uuid())),
        ("quantity", n(random.between(1, 40))),
        ("line", s(format!("2026-11-21#{:06}", random.below(1_000_000)))),
        ("price", n(price(random))),
        ("updated_at", s(moment(random))),
    ])
}

fn address(random: &mut Random) -> String {
    map(&[
        ("street", s(format!("{} Street {}", random.one_of(&WORDS), random.below(200)))),
        ("city", s(random.one_of(&CITIES))),
        ("zip", s(format!("{:05}", random.below(100_000)))),
        ("geo", map(&[("lat", n(price(random))), ("lon", n(price(random)))])),
    ])
}

fn medium(random: &mut Random) -> Item {
    let name = random.hex(8);
    let tags: Vec<String> = (0..3).map(|_| s(random.one_of(&WORDS))).collect();
    let mut groups: Vec<String> = (0..4).map(|number| format!("group-{number}{}", random.hex(4))).collect();
    groups.sort();
    let scores: Vec<String> = (1..5).map(|number| (number * 100 + random.below(100)).to_string()).collect();
    let mut item = named(vec![
        ("comment", s(sentence(random, 12))),
        ("first_name", s(&name)),
        ("created_at", n(1_700_000_000 + random.below(90_000_000))),
        ("customer_id", s(random.uuid())),
        ("email", s(format!("{name}@example.com"))),
        ("active", bool(random.chance(80))),
        ("balance", n(price(random))),
        ("address", address(random)),
        ("last_name", s(random.hex(11))),
        ("phone", s(format!("+49 30 {:08}", random.below(100_000_000)))),
        ("tags", list(&tags)),
        ("groups", set("SS", &groups)),
        ("scores", set("NS", &scores)),
        ("language", s(random.one_of(&["de", "en", "fr", "pt"]))),
        ("login_count", n(random.below(10_000))),
        ("last_login", s(moment(random))),
        ("avatar", format!("{{\"B\":\"{}\"}}", base64(random, 48))),
        ("referrer", s(format!("https://example.com/{}/{}", random.one_of(&WORDS), random.hex(16)))),
        ("version", n(random.below(100))),
        ("company", s(format!("{} GmbH", random.hex(10)))),
        ("tier", s(random.one_of(&["free", "basic", "gold"]))),
        ("vat_id", s(format!("DE{:09}", random.below(1_000_000_000)))),
        ("discount", n(price(random))),
        ("newsletter", bool(random.chance(30))),
        ("preferences", map(&[("theme", s("dark")), ("size", n(random.below(30))), ("beta", bool(true))])),
    ]);
    let optional = [
        ("deleted_at", "{\"NULL\":true}".to_owned()),
        ("coupon", s(random.hex(10))),
        ("notes", s(sentence(random, 20))),
    ];
    for (place, (name, value)) in optional.into_iter().enumerate() {
        if random.chance(60) {
            item.insert(5 + 9 * place, (name.to_owned(), value));
        }
    }
    item
}

fn base64(random: &mut Random, bytes: usize) -> String {
    let bytes: Vec<u8> = (0..bytes).map(|_| random.word() as u8).collect();
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn wide(random: &mut Random) -> Item {
    let mut item = named(vec![
        ("device", s(format!("dev-{}", random.hex(12)))),
        ("at", n(1_700_000_000_000 + random.below(90_000_000_000))),
    ]);
    for number in 2..200 {
        let (name, value) = match number % 10 {
            0..5 => (format!("sensor_{number}_mean"), n(price(random))),
            5..8 => (format!("sensor_{number}_count"), n(random.below(1_000_000))),
            8 => {
                (format!("sensor_{number}_label"), s(format!("{} {}", random.one_of(&WORDS), random.hex(8))))
            }
            _ => (format!("sensor_{number}_ok"), bool(random.chance(95))),
        };
        item.push((name, value));
    }
    item
}

fn nested(random: &mut Random) -> Item {
    let lines: Vec<String> = (0..random.between(3, 9))
        .map(|number| {
            map(&[
                ("sku", s(format!("sku-{}", random.hex(10)))),
                ("quantity", n(number + 1)),
                ("price", n(price(random))),
                ("name", s(sentence(random, 4))),
                ("options", map(&[("color", s(random.one_of(&WORDS))), ("gift", bool(random.chance(10)))])),
            ])
        })
        .collect();
    let history: Vec<String> = (0..random.between(2, 6))
        .map(|_| {
            map(&[("at", s(moment(random))), ("status", s(random.one_of(&STATUS))), ("by", s(random.uuid()))])
        })
        .collect();
    named(vec![
        ("order_id", s(random.uuid())),
        ("lines", list(&lines)),
        ("status", s(random.one_of(&STATUS))),
        ("billing", map(&[("name", s(random.hex(12))), ("address", address(random))])),
        ("shipping", map(&[("name", s(random.hex(12))), ("address", address(random))])),
        ("history", list(&history)),
        ("total", n(price(random))),
        ("placed_at", s(moment(random))),
        ("payment", map(&[("kind", s("card")), ("last4", s(format!("{:04}", random.below(10_000))))])),
        ("comment", s(sentence(random, 15))),
    ])
}
