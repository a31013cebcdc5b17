//! Round trips, bombs, cuts and garbage for every codec.

use proptest::prelude::*;
use weir_codec::{CodecError, Compression, Decompressor, compress, decompress};

const CODECS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// Text that compresses, then bytes that do not.
fn mixed(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (i / 4096) % 2 == 0 {
                b"weir evens out a river "[i % 23]
            } else {
                (state >> 24) as u8
            }
        })
        .collect()
}

#[test]
fn round_trips_at_the_sizes_around_block_borders() {
    let mut decompressor = Decompressor::new();
    for codec in CODECS.into_iter().chain([Compression::None]) {
        for len in [
            0, 1, 100, 32_767, 32_768, 32_769, 65_536, 65_537, 200_000, 1_500_000,
        ] {
            let plain = mixed(len);
            let packed = compress(codec, &plain, None).expect("compresses");
            let mut out = b"head".to_vec();
            decompress(codec, &packed, len, &mut out).expect("decompresses");
            assert_eq!(out[..4], *b"head");
            assert!(out[4..] == plain, "{codec:?} {len}");
            let again = decompressor.decompress(codec, &packed, len).expect("again");
            assert!(again == plain, "{codec:?} {len} reused");
            if let Some(below) = len.checked_sub(1) {
                let error = decompressor.decompress(codec, &packed, below);
                let limit_bytes = below;
                assert_eq!(error, Err(CodecError::TooLarge { codec, limit_bytes }));
            }
        }
    }
}

#[test]
fn bombs_stop_at_the_limit_and_take_no_more_memory() {
    let zeros = vec![0u8; 64 << 20];
    for codec in CODECS {
        let packed = compress(codec, &zeros, None).expect("compresses");
        for limit_bytes in [0, 1, 1000, 1 << 20] {
            let mut out = Vec::new();
            let error = decompress(codec, &packed, limit_bytes, &mut out);
            assert_eq!(error, Err(CodecError::TooLarge { codec, limit_bytes }));
            assert!(out.is_empty());
            assert!(
                out.capacity() <= limit_bytes,
                "{codec:?}: {}",
                out.capacity()
            );
        }
    }
}

#[test]
fn a_header_that_claims_much_takes_no_memory() {
    // Snappy that claims 100 MB in five bytes; zstd that claims a window and a content of 128 MB.
    let snappy = [0x80, 0x80, 0x80, 0x30, 0x00];
    let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x88, 0x00, 0x00, 0x00, 0x08];
    for (codec, bytes) in [
        (Compression::Snappy, &snappy[..]),
        (Compression::Zstd, &zstd[..]),
    ] {
        let mut out = Vec::new();
        assert!(decompress(codec, bytes, 128 << 20, &mut out).is_err());
        assert!(out.capacity() <= 1 << 20, "{codec:?}: {}", out.capacity());
    }
}

#[test]
fn data_cut_at_any_byte_is_an_error() {
    let plain = mixed(34_000);
    for codec in CODECS {
        let packed = compress(codec, &plain, None).expect("compresses");
        let mut decompressor = Decompressor::new();
        let mut whole_blocks = 0;
        for cut in 0..packed.len() {
            match decompressor.decompress(codec, &packed[..cut], plain.len()) {
                Err(CodecError::Truncated { .. } | CodecError::Malformed { .. }) => {}
                // Xerial framing has no end mark: a cut between blocks cannot be seen, and the
                // records' own framing finds it.
                Ok(part) if codec == Compression::Snappy => {
                    assert!(plain.starts_with(part) && part.len() % 32_768 == 0);
                    whole_blocks += 1;
                }
                other => panic!("{codec:?} cut at {cut}: {other:?}"),
            }
        }
        assert!(whole_blocks <= 3);
    }
}

#[test]
fn bytes_behind_the_end_are_an_error() {
    let plain = mixed(5000);
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let mut packed = compress(codec, &plain, None).expect("compresses");
        packed.extend_from_slice(b"garbage!");
        let mut out = Vec::new();
        let error = decompress(codec, &packed, 1 << 20, &mut out);
        assert_eq!(error, Err(CodecError::TrailingGarbage { codec, bytes: 8 }));
        assert!(out.is_empty());
    }
    let mut packed = compress(Compression::Snappy, &plain, None).expect("compresses");
    packed.extend_from_slice(b"garbage!");
    let mut out = Vec::new();
    assert!(decompress(Compression::Snappy, &packed, 1 << 20, &mut out).is_err());
}

#[test]
fn frames_one_after_another_are_read_as_one() {
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let mut packed = compress(codec, b"first ", None).expect("compresses");
        packed.extend(compress(codec, b"second", None).expect("compresses"));
        let mut out = Vec::new();
        decompress(codec, &packed, 12, &mut out).expect("decompresses");
        assert_eq!(out, b"first second", "{codec:?}");
    }
}

#[test]
fn levels_are_checked() {
    let plain = mixed(100_000);
    for (codec, good, bad) in [
        (Compression::Gzip, [0, 1, 9], 10),
        (Compression::Zstd, [-5, 1, 19], 23),
    ] {
        for level in good {
            let packed = compress(codec, &plain, Some(level)).expect("compresses");
            let mut out = Vec::new();
            decompress(codec, &packed, plain.len(), &mut out).expect("decompresses");
            assert!(out == plain, "{codec:?} {level}");
        }
        assert!(compress(codec, &plain, Some(bad)).is_err());
    }
}

proptest! {
    #[test]
    fn anything_round_trips(plain in proptest::collection::vec(any::<u8>(), 0..3000)) {
        for codec in CODECS {
            let packed = compress(codec, &plain, None).expect("compresses");
            let mut out = Vec::new();
            decompress(codec, &packed, plain.len(), &mut out).expect("decompresses");
            prop_assert_eq!(&out, &plain);
        }
    }

    #[test]
    fn garbage_never_panics_nor_passes_the_limit(
        garbage in proptest::collection::vec(any::<u8>(), 0..300),
        at in 0usize..60,
        with in any::<u8>(),
    ) {
        let mut decompressor = Decompressor::new();
        for codec in CODECS {
            let _ = decompressor.decompress(codec, &garbage, 10_000);
            let mut packed = compress(codec, &garbage, None).expect("compresses");
            if let Some(byte) = packed.get_mut(at) {
                *byte = with;
            }
            if let Ok(out) = decompressor.decompress(codec, &packed, 10_000) {
                prop_assert!(out.len() <= 10_000);
            }
        }
    }
}
