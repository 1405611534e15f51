use super::*;
use crate::plan::target::SM_100A;
use crate::plan::tiling::{self, Widths};
use crate::problem::{Group, OutputType, Set, Weights};

/// Loads of the CTAs when `m` by 512 by 256 is dealt out, a tile costing its tokens.
fn loads(m: &[u32], width: u32, order: Order, ctas: u32) -> Vec<u64> {
    let groups = m.iter().map(|&m| Group { m, n: 512, k: 256 }).collect();
    let set = Set {
        name: "deal".into(),
        groups,
        output: OutputType::F16,
        weights: Weights::Dynamic,
    };
    let (tilings, token_tiles) = tiling::tile(
        &set,
        256,
        &Widths::Each(vec![width; m.len()]),
        &SM_100A,
        128,
    );
    let cost = |tile: Tile| u64::from(token_tiles[tile.token_tile].rows);
    let schedule = schedule(&tilings, &token_tiles, order, ctas, 1, &cost);
    assert_eq!(
        schedule.tiles.len() as u32,
        schedule.ctas.last().unwrap().end
    );
    let load = |tiles: &[Tile]| tiles.iter().map(|&t| cost(t)).sum();
    schedule.by_cta().map(load).collect()
}

#[test]
fn heavy_tiles_meet_light_ones() {
    assert_eq!(loads(&[64, 192], 256, Order::Balanced, 4), [256; 4]);
    assert_eq!(loads(&[64, 192], 256, Order::Runs, 4), [128, 128, 384, 384]);
}

#[test]
fn columns_stay_whole_and_balanced_tiles_do_not_have_to() {
    // Four columns of 192 + 64 tokens on three CTAs.
    assert_eq!(loads(&[256], 192, Order::Columns, 3), [512, 256, 256]);
    assert_eq!(loads(&[256], 192, Order::Balanced, 3), [384, 320, 320]);
}

#[test]
fn no_cta_is_left_without_work() {
    for order in Order::ALL {
        assert_eq!(loads(&[16], 16, order, 148), [16; 4]);
    }
}

#[test]
fn a_balanced_cta_keeps_its_weights_where_that_delays_nobody() {
    let groups = vec![Group {
        m: 128,
        n: 512,
        k: 256,
    }];
    let set = Set {
        name: "keep".into(),
        groups,
        output: OutputType::F16,
        weights: Weights::Dynamic,
    };
    let (tilings, token_tiles) = tiling::tile(&set, 256, &Widths::Each(vec![64]), &SM_100A, 128);
    let schedule = schedule(&tilings, &token_tiles, Order::Balanced, 4, 1, &|_| 1);
    for tiles in schedule.by_cta() {
        assert_eq!(tiles[0].weight_tile, tiles[1].weight_tile);
    }
}

fn tiles(m: &[u32], k: u32) -> (Vec<GroupTiling>, Vec<TokenTile>) {
    let groups = m.iter().map(|&m| Group { m, n: 384, k }).collect();
    let set = Set {
        name: "split".into(),
        groups,
        output: OutputType::F16,
        weights: Weights::Dynamic,
    };
    tiling::tile(&set, 256, &tiling::Widths::UpTo(128), &SM_100A, 128)
}

fn blocks(tiles: &[Tile]) -> u32 {
    tiles.iter().map(|t| t.part.k_blocks).sum()
}

#[test]
fn a_stream_is_cut_evenly_and_every_block_is_summed_once() {
    let (tilings, token_tiles) = tiles(&[128, 128], 2560);
    let cost = |t: Tile| u64::from(t.part.k_blocks);
    let schedule = schedule(&tilings, &token_tiles, Order::Stream, 7, 1, &cost);
    // Six tiles of ten blocks.
    let loads: Vec<u32> = schedule.by_cta().map(blocks).collect();
    assert_eq!(loads.iter().sum::<u32>(), 60);
    assert!(loads.iter().all(|load| (8..=9).contains(load)), "{loads:?}");
    for token_tile in 0..2 {
        for weight_tile in 0..3 {
            let mut parts: Vec<Part> = schedule
                .tiles
                .iter()
                .filter(|t| (t.token_tile, t.weight_tile) == (token_tile, weight_tile))
                .map(|t| t.part)
                .collect();
            parts.sort_by_key(|p| p.index);
            let mut next = 0;
            for (index, part) in (0..).zip(&parts) {
                assert_eq!((part.index, part.of), (index, parts.len() as u32));
                assert_eq!(part.first, next);
                next += part.k_blocks;
            }
            assert_eq!(next, 10);
        }
    }
}

#[test]
fn the_parts_of_a_tile_stand_in_a_cluster_in_the_order_of_k() {
    let (tilings, token_tiles) = tiles(&[16, 128], 1792);
    let cost = |t: Tile| u64::from(token_tiles[t.token_tile].rows * t.part.k_blocks);
    let schedule = clusters(&tilings, &token_tiles, 4, &cost);
    assert_eq!(schedule.ctas.len(), 24);
    for cluster in schedule.tiles.chunks(4) {
        let firsts: Vec<u32> = cluster.iter().map(|t| t.part.first).collect();
        assert_eq!(firsts, [0, 1, 3, 5]);
        assert!(
            cluster
                .iter()
                .all(|t| t.weight_tile == cluster[0].weight_tile)
        );
        assert!(
            cluster
                .iter()
                .all(|t| t.token_tile == cluster[0].token_tile)
        );
    }
    assert_eq!(schedule.tiles[0].token_tile, 1, "the heaviest first");
}
