/** A list of numbers that grows in place: adding one costs the same however many there are. */
export class Numbers {
  private store = new Float64Array(256);
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** All of them. A view: read it, do not keep it. */
  get view(): Float64Array<ArrayBuffer> {
    return this.store.subarray(0, this.count);
  }

  push(value: number): void {
    if (this.count === this.store.length) {
      const larger = new Float64Array(2 * this.count);
      larger.set(this.store);
      this.store = larger;
    }
    this.store[this.count++] = value;
  }

  set(index: number, value: number): void {
    this.store[index] = value;
  }

  /** Forgets all but the first so many. */
  truncate(length: number): void {
    this.count = length;
  }
}
