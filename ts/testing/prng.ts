/**
 * Deterministic random numbers, split by concern: the network, the disk, the workload and every adversary draw from streams of
 * their own, so that taking one decision out of a run leaves the others as they were.
 */

/** xoshiro128** over four 32-bit words. Not cryptographic; passes the usual statistical batteries and needs no BigInt per draw. */
export class Prng {
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  private readonly low: number;
  private readonly high: number;

  /** `seed` is taken modulo 2^64. */
  constructor(seed: bigint) {
    this.low = Number(BigInt.asUintN(32, seed));
    this.high = Number(BigInt.asUintN(32, seed >> 32n));
    let state = mix(this.low ^ mix(this.high ^ 0x9e3779b9));
    const word = (): number => {
      state = (state + 0x9e3779b9) | 0;
      return mix(state ^ this.high);
    };
    this.a = word();
    this.b = word();
    this.c = word();
    // The all-zero state is the one fixed point of the generator.
    this.d = word() | 1;
  }

  /** An independent stream. Depends on this one's seed and on `name` alone, never on what was drawn already. */
  split(name: string): Prng {
    let low = this.low ^ 0x85ebca6b;
    let high = this.high ^ 0xc2b2ae35;
    for (let index = 0; index < name.length; index++) {
      low = mix(low ^ name.charCodeAt(index));
      high = mix((high + low) | 0);
    }
    return new Prng((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
  }

  /** An integer of 32 bits, 0 … 2^32−1. */
  next(): number {
    const product = Math.imul(this.b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= shifted;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result >>> 0;
  }

  /** 0 ≤ x < 1. */
  float(): number {
    return this.next() / 4_294_967_296;
  }

  /** An integer, 0 … limit−1; `limit` ≥ 1. The bias of limit / 2^32 does not matter to a simulation. */
  below(limit: number): number {
    return Math.floor(this.float() * limit);
  }

  /** An integer, `from` … `to` inclusive. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return probability > 0 && this.float() < probability;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Exponentially distributed around `mean`. */
  exponential(mean: number): number {
    return -Math.log(1 - this.float()) * mean;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let index = 0; index < length; index++) bytes[index] = this.next() >>> 24;
    return bytes;
  }

  /** A new list with the same members in random order. */
  shuffled<T>(list: readonly T[]): T[] {
    const result = [...list];
    for (let index = result.length - 1; index > 0; index--) {
      const other = this.below(index + 1);
      [result[index], result[other]] = [result[other] as T, result[index] as T];
    }
    return result;
  }

  /** `count` different members, in random order; all of them if there are fewer. */
  sample<T>(list: readonly T[], count: number): T[] {
    return this.shuffled(list).slice(0, count);
  }
}

/** The finaliser of MurmurHash3. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) | 0;
}
