//! What a real runtime (spec 218) says, read by us.

use adit_chain::{Chain, ChainError, Endpoints, Field, Limits, Netuid};
use adit_keys::Hotkey;
use adit_stand_in::local_chain::LocalChain;
use serde_json::Value;

pub(crate) fn client(url: &str) -> Chain {
    Chain::new(Endpoints::parse(url).unwrap(), Limits::default())
}

/// An address of the local chain's account list.
pub(crate) fn address(chain: &LocalChain, name: &str, key: &str) -> Hotkey {
    let list: Value = serde_json::from_str(chain.accounts()).unwrap();
    let account =
        list["accounts"].as_array().unwrap().iter().find(|account| account["name"] == name).unwrap();
    account[key]["ss58"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_old_runtime_is_read_by_its_own_metadata() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let miner = address(&local, "miner", "hotkey");
    let big = address(&local, "validator-big", "hotkey");
    let newcomer = address(&local, "newcomer", "hotkey");

    let metagraph = chain.read(|head| async move { head.metagraph(Netuid(44)).await }).await.unwrap();
    assert_eq!(metagraph.neurons.len(), 65);
    let stake = metagraph.neuron(&big).unwrap().stake.tao();
    assert!((29_000.0..30_000.0).contains(&stake), "{stake}");
    let axon = metagraph.neuron(&miner).unwrap().axon.unwrap();
    assert_eq!(axon.address.to_string(), "203.0.113.10:8091");
    let ipv6 =
        metagraph.neurons.iter().filter(|neuron| neuron.axon.is_some_and(|axon| axon.address.is_ipv6()));
    assert_eq!(ipv6.count(), 1);

    chain
        .read(|head| async move {
            assert_eq!(head.spec_version(), 218);
            let here = head.registration(Netuid(44), &miner).await?;
            assert_eq!((here.uid, here.axon), (Some(4), Some(axon)));
            assert!(here.open && here.owner.is_some());
            let there = head.registration(Netuid(44), &newcomer).await?;
            assert_eq!((there.uid, there.owner, there.axon), (None, None, None));
            assert_eq!(there.cost.0, 1_000_000_000);
            assert!(matches!(
                head.registration(Netuid(9), &miner).await,
                Err(ChainError::NoSubnet(Netuid(9)))
            ));
            assert!(matches!(head.metagraph(Netuid(9)).await, Err(ChainError::NoSubnet(Netuid(9)))));
            let rules = head.hyperparameters(Netuid(44)).await?;
            let cost = rules.iter().find(|rule| rule.name == "registration_cost").unwrap();
            assert_eq!(cost.value.to_string(), "1 TAO");
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn balances_commitments_and_reveals_are_read() {
    let Some(local) = LocalChain::start(&[]) else { return };
    let chain = client(local.url());
    let key = |name, key| address(&local, name, key);
    let (poor, miner, odd) = (key("poor", "coldkey"), key("miner", "hotkey"), key("fleet-3", "hotkey"));
    let (revealer, nobody) = (key("fleet-5", "hotkey"), key("stranger", "hotkey"));
    chain
        .read(|head| async move {
            assert_eq!(head.balance(&poor).await?.0, 500);
            assert_eq!(head.balance(&nobody).await?.0, 0);
            let text = head.commitment(Netuid(44), &miner).await?.unwrap().text().unwrap();
            assert!(text.starts_with("https://huggingface.co/example/model@"), "{text}");
            let odd = head.commitment(Netuid(44), &odd).await?.unwrap();
            assert_eq!(odd.fields, [Field::Raw(vec![0, 1, 2, 0xfe, 0xff])]);
            assert_eq!(head.commitment(Netuid(44), &nobody).await?, None);
            let revealed = head.revealed(Netuid(44), &revealer).await?;
            let revealed: Vec<_> = revealed.iter().map(|one| (one.block, one.text())).collect();
            assert_eq!(
                revealed,
                [(40, "https://example.org/revealed-1".to_owned()), (50, r#"{"v":2}"#.to_owned())]
            );
            assert!(head.revealed(Netuid(44), &nobody).await?.is_empty());
            let all = head.all_revealed(Netuid(44)).await?;
            assert_eq!(all.iter().map(|(_, revealed)| revealed.len()).sum::<usize>(), 3);
            assert_eq!(head.all_commitments(Netuid(44)).await?.len(), 6);
            Ok(())
        })
        .await
        .unwrap();
}
