import type { IncomingMessage, ServerResponse } from 'node:http';
import { openApiOptions } from './openapi.ts';
import type { Api } from './routes/api.ts';

export interface DocumentationParts {
  /** A fresh instance without routes. */
  makeApp: () => Api;
  /** Adds the routes that are to be described; none of them is called. */
  addRoutes: (app: Api) => void;
  version: string;
}

/**
 * The OpenAPI document and the page that shows it. What makes them is loaded when somebody asks for the first time: it
 * takes 100 ms and 10 MB that an agent nobody looks at this way need not spend.
 */
export class Documentation {
  #parts: DocumentationParts;
  #built: Promise<Api> | undefined;
  #document: string | undefined;

  constructor(parts: DocumentationParts) {
    this.#parts = parts;
  }

  /** The OpenAPI document as JSON. */
  async document(): Promise<string> {
    const app = await this.#app();
    this.#document ??= JSON.stringify(app.swagger());
    return this.#document;
  }

  /** What answers requests below `/docs`. */
  async page(): Promise<(request: IncomingMessage, response: ServerResponse) => void> {
    return (await this.#app()).routing;
  }

  async close(): Promise<void> {
    // What could not be built has nothing to close.
    await (await this.#built?.catch(() => undefined))?.close();
  }

  #app(): Promise<Api> {
    this.#built ??= this.#build();
    return this.#built;
  }

  async #build(): Promise<Api> {
    const { default: swagger } = await import('@fastify/swagger');
    const { default: swaggerUi } = await import('@fastify/swagger-ui');
    const app = this.#parts.makeApp();
    // First, so that it sees every route that is added.
    app.register(swagger, openApiOptions(this.#parts.version));
    app.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { validatorUrl: null, tryItOutEnabled: true },
      theme: { title: 'relayledger API' },
      // Everything comes from this host; the page asks nobody else.
      staticCSP:
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
        "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    });
    this.#parts.addRoutes(app);
    await app.ready();
    return app;
  }
}
