//! The assignors by hand-made cases and by chance.

use super::*;
use proptest::prelude::*;
use std::format;

fn topic(number: u8) -> TopicId {
    TopicId([number; 16])
}

fn input(members: &[(&str, &[u8])], topics: &[(u8, i32)]) -> Input {
    Input {
        members: members
            .iter()
            .map(|(name, wants)| {
                let wish = Wish {
                    topics: wants.iter().map(|number| topic(*number)).collect(),
                    has: Assignment::new(),
                };
                (Name::from(*name), wish)
            })
            .collect(),
        topics: topics
            .iter()
            .map(|(id, count)| (topic(*id), *count))
            .collect(),
    }
}

fn again(input: &Input, shares: &BTreeMap<Name, Assignment>) -> Input {
    let mut next = input.clone();
    for (name, wish) in &mut next.members {
        wish.has = shares.get(name).cloned().unwrap_or_default();
    }
    next
}

fn show(shares: &BTreeMap<Name, Assignment>) -> std::string::String {
    let mut out = std::string::String::new();
    for (name, share) in shares {
        let list: Vec<_> = share
            .iter()
            .flat_map(|(topic, parts)| parts.iter().map(move |p| format!("{}-{}", topic.0[0], p)))
            .collect();
        out += &format!("{name}: {}\n", list.join(" "));
    }
    out
}

fn load(share: &Assignment) -> usize {
    share.values().map(BTreeSet::len).sum()
}

#[test]
fn range_gives_runs_and_keeps_co_partitioned_topics_together() {
    let all = input(&[("a", &[1, 2]), ("b", &[1, 2])], &[(1, 3), (2, 3)]);
    let shares = assign(RANGE, &all);
    expect_test::expect![[r"
        a: 1-0 1-1 2-0 2-1
        b: 1-2 2-2
    "]]
    .assert_eq(&show(&shares));
    let mut more = again(&all, &shares);
    more.members.insert(
        "0".into(),
        input(&[("0", &[1, 2])], &[]).members["0"].clone(),
    );
    expect_test::expect![[r"
        0: 1-2 2-2
        a: 1-0 2-0
        b: 1-1 2-1
    "]]
    .assert_eq(&show(&assign(RANGE, &more)));
}

#[test]
fn uniform_balances_and_idles_who_is_too_many() {
    let five = input(
        &[
            ("a", &[1]),
            ("b", &[1]),
            ("c", &[1]),
            ("d", &[1]),
            ("e", &[1]),
        ],
        &[(1, 4)],
    );
    expect_test::expect![[r"
        a: 1-0
        b: 1-1
        c: 1-2
        d: 1-3
        e: 
    "]]
    .assert_eq(&show(&assign(UNIFORM, &five)));
}

fn any_input() -> impl Strategy<Value = Input> {
    let member = (0..12u8, prop::collection::btree_set(1..5u8, 0..4));
    let has = prop::collection::vec((0..12u8, 1..5u8, 0..8i32), 0..20);
    (
        prop::collection::vec(member, 0..10),
        prop::collection::vec(0..8i32, 4),
        has,
    )
        .prop_map(|(members, counts, has)| {
            let mut input = Input::default();
            for (name, wants) in members {
                let wish = Wish {
                    topics: wants.into_iter().map(topic).collect(),
                    has: Assignment::new(),
                };
                input.members.insert(Name::from(format!("m{name}")), wish);
            }
            input.topics = (1..5u8).zip(counts).map(|(id, n)| (topic(id), n)).collect();
            let mut given = BTreeSet::new();
            for (name, id, partition) in has {
                if let Some(wish) = input.members.get_mut(&*format!("m{name}"))
                    && given.insert((id, partition))
                {
                    let share = wish.has.entry(topic(id)).or_default();
                    share.insert(PartitionIndex(partition));
                }
            }
            input
        })
}

proptest! {
    #[test]
    fn every_wanted_partition_has_one_owner_who_wants_it(input in any_input(), range: bool) {
        let assignor = if range { RANGE } else { UNIFORM };
        let shares = assign(assignor, &input);
        prop_assert_eq!(&shares, &assign(assignor, &input));
        let mut seen = BTreeSet::new();
        for (name, share) in &shares {
            for (topic, partitions) in share {
                prop_assert!(input.members[name].topics.contains(topic));
                for partition in partitions {
                    prop_assert!(seen.insert((*topic, *partition)));
                }
            }
        }
        let wanted: usize = input
            .topics
            .iter()
            .filter(|(id, _)| input.members.values().any(|wish| wish.topics.contains(id)))
            .map(|(_, count)| usize::try_from(*count).unwrap())
            .sum();
        prop_assert_eq!(seen.len(), wanted);
        // Nothing moves when nothing changed.
        prop_assert_eq!(&assign(assignor, &again(&input, &shares)), &shares);
    }

    #[test]
    fn uniform_is_even_where_all_want_the_same(mut input in any_input()) {
        for wish in input.members.values_mut() {
            wish.topics = (1..5u8).map(topic).collect();
        }
        let shares = assign(UNIFORM, &input);
        let most = shares.values().map(load).max().unwrap_or(0);
        let least = shares.values().map(load).min().unwrap_or(0);
        prop_assert!(most <= least + 1);
    }
}
