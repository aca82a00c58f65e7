// The address of the service without a final slash, in a tab and in a worker. The service puts the version of the page
// after /static/.
export const ROOT = import.meta.url.replace(/(.*)\/static\/.*/, "$1");
