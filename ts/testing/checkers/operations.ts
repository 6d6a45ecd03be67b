/** What is known of operations, by client and by the operation itself or what makes it one. No string is made to look one up. */
export class Operations<T> {
  private readonly clients = new Map<string, Map<string, T>>();

  get(client: string, operation: string): T | undefined {
    return this.clients.get(client)?.get(operation);
  }

  set(client: string, operation: string, what: T): void {
    const operations = this.clients.get(client);
    if (operations === undefined) this.clients.set(client, new Map([[operation, what]]));
    else operations.set(operation, what);
  }

  delete(client: string, operation: string): void {
    this.clients.get(client)?.delete(operation);
  }

  /** Forgets all of which this holds. */
  deleteWhere(holds: (what: T) => boolean): void {
    for (const operations of this.clients.values()) {
      for (const [operation, what] of operations) if (holds(what)) operations.delete(operation);
    }
  }

  /** Client by client. */
  *values(): Iterable<T> {
    for (const operations of this.clients.values()) yield* operations.values();
  }
}
