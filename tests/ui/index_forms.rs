//! Forms of an index's parts, written wrongly or around what has not got them.
use highwater::Table;
use serde::{Deserialize, Serialize};

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_a(each(name, port)))]
#[index(by_b(lower(name), port))]
#[index(by_c(with = Self::domain, port))]
#[index(by_d(with = "domain" -> String))]
#[index(by_e(each(sparse(tags)), port))]
#[index(by_f(reverse(reverse(name)), port))]
#[index(by_g(name, reverse(port), name))]
#[index(caseless, by_h(name, port))]
#[index(when, by_i(name, port))]
#[index(when = |node| true, by_j(name, port))]
struct Malformed {
    #[primary_key]
    name: String,
    #[index(with = Self::domain -> String)]
    port: u16,
    #[index(sparse, each)]
    #[index(reverse(port), name = "other")]
    tags: Option<String>,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_port_case(caseless(port), name))]
struct OfAnotherType {
    #[primary_key]
    name: String,
    port: u16,
    #[index(sparse)]
    rack: u16,
    #[index(caseless)]
    row: u16,
}

#[derive(PartialEq, Serialize, Deserialize, Table)]
#[index(by_double(with = Functions::double -> u32))]
#[index(when = Functions::is_large, by_name_port(name, port))]
struct Functions {
    #[primary_key]
    name: String,
    #[index(when = Self::is_larger)]
    port: u16,
}

impl Functions {
    fn double(&self) -> u16 {
        2 * self.port
    }

    fn is_large(&self) -> u16 {
        self.port
    }
}

fn main() {}
