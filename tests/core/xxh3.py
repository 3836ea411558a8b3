"""XXH3-64 without a seed in plain Python, from its specification: another language, as it were."""

from typing import Final

MASK: Final = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25
SECRET: Final = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)


def xxh3_64(data: bytes) -> int:
    """Hash bytes of any length."""
    size = len(data)
    if size <= 16:
        return _short(data, size)
    if size <= 240:
        return _middle(data, size)
    return _long(data, size)


def _short(data: bytes, size: int) -> int:
    if size > 8:
        low = _read(data, 0) ^ _key(24) ^ _key(32)
        high = _read(data, size - 8) ^ _key(40) ^ _key(48)
        swapped = int.from_bytes(low.to_bytes(8, "big"), "little")
        return _avalanche(size + swapped + high + _fold(low, high))
    if size > 3:
        first, last = _read(data, 0, 4), _read(data, size - 4, 4)
        keyed = (last + (first << 32)) ^ _key(8) ^ _key(16)
        keyed ^= _rotated(keyed, 49) ^ _rotated(keyed, 24)
        keyed = keyed * MX2 & MASK
        keyed ^= (keyed >> 35) + size
        keyed = keyed * MX2 & MASK
        return keyed ^ (keyed >> 28)
    if size:
        both = data[0] << 16 | data[size >> 1] << 24 | data[-1] | size << 8
        return _old_avalanche(both ^ _read(SECRET, 0, 4) ^ _read(SECRET, 4, 4))
    return _old_avalanche(_key(56) ^ _key(64))


def _middle(data: bytes, size: int) -> int:
    total = size * P64_1
    if size <= 128:
        for at in range((size - 1) // 32 + 1):
            total += _mixed(data, 16 * at, 32 * at)
            total += _mixed(data, size - 16 * (at + 1), 32 * at + 16)
        return _avalanche(total)
    for at in range(8):
        total += _mixed(data, 16 * at, 16 * at)
    total = _avalanche(total)
    for at in range(8, size // 16):
        total += _mixed(data, 16 * at, 16 * (at - 8) + 3)
    return _avalanche(total + _mixed(data, size - 16, 136 - 17))


def _long(data: bytes, size: int) -> int:
    sums = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    stripes = (size - 1) // 64
    for stripe in range(stripes):
        _accumulate(sums, data, 64 * stripe, 8 * (stripe % 16))
        if stripe % 16 == 15:
            for at in range(8):
                mixed = sums[at] ^ (sums[at] >> 47) ^ _key(128 + 8 * at)
                sums[at] = mixed * P32_1 & MASK
    _accumulate(sums, data, size - 64, 192 - 64 - 7)
    total = size * P64_1
    for at in range(4):
        key = 11 + 16 * at
        total += _fold(sums[2 * at] ^ _key(key), sums[2 * at + 1] ^ _key(key + 8))
    return _avalanche(total)


def _accumulate(sums: list[int], data: bytes, at: int, key: int) -> None:
    for lane in range(8):
        value = _read(data, at + 8 * lane)
        keyed = value ^ _key(key + 8 * lane)
        sums[lane ^ 1] = (sums[lane ^ 1] + value) & MASK
        sums[lane] = (sums[lane] + (keyed & 0xFFFFFFFF) * (keyed >> 32)) & MASK


def _mixed(data: bytes, at: int, key: int) -> int:
    return _fold(_read(data, at) ^ _key(key), _read(data, at + 8) ^ _key(key + 8))


def _fold(one: int, other: int) -> int:
    product = one * other
    return (product & MASK) ^ (product >> 64)


def _avalanche(value: int) -> int:
    value &= MASK
    value ^= value >> 37
    value = value * MX1 & MASK
    return value ^ (value >> 32)


def _old_avalanche(value: int) -> int:
    value ^= value >> 33
    value = value * P64_2 & MASK
    value ^= value >> 29
    value = value * P64_3 & MASK
    return value ^ (value >> 32)


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def _read(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def _key(at: int) -> int:
    return _read(SECRET, at)
