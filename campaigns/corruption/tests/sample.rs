//! A part of every campaign, small enough for every change.

use thrifty_corruption::stage::Stage;
use thrifty_corruption::tally::Tally;
use thrifty_corruption::{Broken, Sample, blobs, catalog, decoders, rows};

fn sample(every: usize) -> Sample {
    Sample { every, threads: 2 }
}

fn sound(tally: Tally, least: u64) {
    assert!(tally.violated == 0 && tally.done >= least, "{tally}");
}

#[test]
fn no_bit_of_a_catalog_makes_a_wrong_value() -> Result<(), Broken> {
    sound(catalog::bits(&Stage::new()?, sample(1009))?, 400);
    Ok(())
}

#[test]
fn no_length_and_no_page_of_a_catalog_does() -> Result<(), Broken> {
    sound(catalog::pages(&Stage::new()?, sample(211))?, 300);
    Ok(())
}

#[test]
fn no_word_beside_the_catalog_does() -> Result<(), Broken> {
    sound(catalog::words(&Stage::new()?, sample(1))?, 250);
    Ok(())
}

#[test]
fn no_byte_of_a_blob_does() -> Result<(), Broken> {
    sound(blobs::bytes(&Stage::new()?, sample(101))?, 800);
    Ok(())
}

#[test]
fn no_swap_and_no_name_of_blobs_does() -> Result<(), Broken> {
    sound(blobs::names(&Stage::new()?, sample(7))?, 60);
    Ok(())
}

#[test]
fn no_bit_of_a_large_blob_does() -> Result<(), Broken> {
    sound(blobs::large(100, sample(1))?, 100);
    Ok(())
}

#[test]
fn no_value_in_a_row_does() -> Result<(), Broken> {
    sound(rows::values(&Stage::new()?, sample(29))?, 300);
    Ok(())
}

#[test]
fn no_swap_of_rows_does() -> Result<(), Broken> {
    sound(rows::swaps(&Stage::new()?, sample(3))?, 100);
    Ok(())
}

#[test]
fn no_decoder_breaks() -> Result<(), Broken> {
    sound(decoders::bytes(&Stage::new()?, sample(3))?, 20_000);
    Ok(())
}
