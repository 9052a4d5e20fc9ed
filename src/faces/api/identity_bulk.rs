//! `internal/identity_bulk`: finds the owners of many mail addresses, for mxisd and ma1sd.
//!
//! An address book of tens of thousands of entries arrives in one request and is looked up in a few statements. An invalid
//! entry does not affect the others.

use super::body;
use super::identity_single::EMAIL;
use crate::domain::address::Folding;
use crate::domain::error::Error;
use crate::domain::pieces::{Piece, Pieces};
use crate::outside::cgi::{Request, Response};
use crate::outside::site::Site;
use crate::outside::store::Access;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Deserialize)]
struct LookupBulkRequest<T> {
    lookup: T,
}

#[derive(Debug, Deserialize)]
struct Lookup<'a> {
    #[serde(borrow)]
    medium: Cow<'a, str>,
    #[serde(borrow)]
    address: Cow<'a, str>,
}

/// Bytes of a hit in the answer without address and localpart.
const BYTES_OF_A_HIT: usize = 80;

/// Answers 200 with the hits, in the order of the request.
pub fn look_up(site: &Site, request: &Request) -> Result<Response, Error> {
    super::admit(site, request)?;
    let hits = asked(request).with_owners(site)?;
    Ok(Response::new(200, "application/json", hits.answer()))
}

/// The entries of the request. If some cannot be read, each is parsed by itself and these are left out.
fn asked(request: &Request) -> AddressBook<'_> {
    if let Some(LookupBulkRequest { lookup }) = body(request) {
        return lookup;
    }
    let each: Option<LookupBulkRequest<Vec<&RawValue>>> = body(request);
    let mut book = AddressBook::default();
    for asked in each.map(|asked| asked.lookup).unwrap_or_default() {
        serde_json::from_str(asked.get()).into_iter().for_each(|asked| book.add(asked));
    }
    book
}

/// The valid entries of a request. Texts that are made here share a few allocations, because ten thousand of their own would take several
/// times the memory.
#[derive(Default)]
struct AddressBook<'a> {
    entries: Entries<'a>,
    folding: Folding,
}

/// In the order of the request, and in blocks: a single vector that grows would be moved again and again, and leave holes in the memory
/// of the process.
#[derive(Default)]
struct Entries<'a>(Vec<Vec<Entry<'a>>>);

struct Entry<'a> {
    asked: Cow<'a, str>,
    folded: Piece,
    localpart: Option<Piece>,
}

/// The entries of a request, with the localparts of those that have an owner.
struct AddressBookWithOwners<'a> {
    entries: Entries<'a>,
    localparts: Pieces,
}

impl<'a> Entries<'a> {
    /// The first block is small, and enough for a small address book.
    fn push(&mut self, entry: Entry<'a>) {
        match self.0.last_mut().filter(|block| block.len() < block.capacity()) {
            Some(block) => block.push(entry),
            None => {
                let mut block = Vec::with_capacity(if self.0.is_empty() { 64 } else { 1024 });
                block.push(entry);
                self.0.push(block);
            }
        }
    }
}

impl<'a> AddressBook<'a> {
    /// Leaves out other media and invalid addresses.
    fn add(&mut self, Lookup { medium, address }: Lookup<'a>) {
        if medium == EMAIL
            && let Ok(folded) = self.folding.add(&address)
        {
            self.entries.push(Entry { asked: address, folded, localpart: None });
        }
    }

    /// Looks the entries up in the order of their addresses, which is that of the index and of the accounts found.
    fn with_owners(self, site: &Site) -> Result<AddressBookWithOwners<'a>, Error> {
        let AddressBook { mut entries, folding } = self;
        let mut localparts = Pieces::default();
        let mut sorted: Vec<&mut Entry> = Vec::with_capacity(entries.0.iter().map(Vec::len).sum());
        sorted.extend(entries.0.iter_mut().flatten());
        sorted.sort_unstable_by(|one, other| folding.get(one.folded).cmp(folding.get(other.folded)));
        let mut asked: Vec<&str> = sorted.iter().map(|entry| folding.get(entry.folded)).collect();
        asked.dedup();
        if !asked.is_empty() {
            let mut sorted = sorted.into_iter().peekable();
            site.store(Access::Read)?.localparts_of_addresses(&asked, |address, localpart| {
                let localpart = localparts.add(localpart);
                while let Some(entry) = sorted.next_if(|entry| folding.get(entry.folded) <= address) {
                    entry.localpart = (folding.get(entry.folded) == address).then_some(localpart);
                }
            })?;
        }
        Ok(AddressBookWithOwners { entries, localparts })
    }
}

impl AddressBookWithOwners<'_> {
    /// Pairs of address as in the request and localpart.
    fn hits(&self) -> impl Iterator<Item = (&Cow<'_, str>, &str)> {
        let localparts = &self.localparts;
        self.entries.0.iter().flatten().filter_map(|entry| Some((&entry.asked, localparts.get(entry.localpart?))))
    }

    /// Bytes of the answer and its headers, unless much has to be escaped: a vector that grows would be copied several times.
    fn most_bytes(&self) -> usize {
        self.hits().map(|(asked, localpart)| BYTES_OF_A_HIT + asked.len() + localpart.len()).sum::<usize>() + Response::ROOM
    }

    /// The hits as JSON: each with medium and address exactly as in the request, and the user. Only what may have to be escaped goes through
    /// serde, which would look through each of the names as well, 50,000 in the answer to a large address book.
    fn answer(&self) -> Vec<u8> {
        let mut answer = Vec::with_capacity(self.most_bytes());
        answer.extend_from_slice(br#"{"lookup":["#);
        let mut before: &[u8] = b"";
        for (asked, localpart) in self.hits() {
            answer.extend_from_slice(before);
            answer.extend_from_slice(br#"{"medium":"email","address":"#);
            match asked {
                // As in the request, where it had nothing to escape.
                Cow::Borrowed(plain) => ["\"", plain, "\""].iter().for_each(|part| answer.extend_from_slice(part.as_bytes())),
                Cow::Owned(text) => write(text, &mut answer),
            }
            answer.extend_from_slice(br#","id":{"type":"localpart","value":"#);
            write(localpart, &mut answer);
            answer.extend_from_slice(b"}}");
            before = b",";
        }
        answer.extend_from_slice(b"]}");
        answer
    }
}

fn write(text: &str, answer: &mut Vec<u8>) {
    // Cannot fail: the answer is in memory.
    let _ = serde_json::to_writer(answer, text);
}

/// Each entry is folded as soon as it is read, so that there is no second list of them.
impl<'de> Deserialize<'de> for AddressBook<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AddressBook<'de>, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = AddressBook<'de>;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a list of addresses")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<AddressBook<'de>, A::Error> {
                let mut book = AddressBook::default();
                while let Some(asked) = entries.next_element()? {
                    book.add(asked);
                }
                Ok(book)
            }
        }

        deserializer.deserialize_seq(Entries)
    }
}
