/** A growing list of numbers in one typed array. */
export class Numbers {
  private store = new Float64Array(256);
  private count = 0;

  get length(): number {
    return this.count;
  }

  /** A view, valid until the next change. */
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

  /** Keeps only the first `length` numbers. */
  truncate(length: number): void {
    this.count = length;
  }
}
