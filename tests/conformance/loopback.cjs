// A server that is about to listen on every interface listens on loopback instead.
const net = require("node:net");

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (...given) {
  const [first, second] = given;
  if (first !== null && typeof first === "object") {
    given[0] = { ...first, host: "127.0.0.1" };
  } else if (typeof second === "string") {
    given[1] = "127.0.0.1";
  } else {
    given.splice(1, 0, "127.0.0.1");
  }
  return listen.apply(this, given);
};
