"""A question's words, and what documents call the same: the vocabulary of receipts, invoices and forms.

Words that mean the same stand in one group, English, Malay and Chinese: "电话是多少？" finds "Tel: ...".
A group's name is written in capitals; every other word stands for itself. This is general vocabulary, of no one's shop.
"""

import re

GROUPS: dict[str, str] = {
    "TOTAL": "total totals jumlah payable cost costs owed owe sum altogether summe gesamtbetrag 合计 总计 总额 总金额 "
    "总价 总共 一共 价税合计 共计 应付",
    "PAID": "paid pay spend spent charged 付了 花了 实付 支付 消费",
    "SUB": "subtotal sub-total subtotals 小计",
    "AMOUNT": "amount amounts amt price sum money 金额 多少钱 价格",
    "TAX": "tax taxes gst vat sst cukai mwst 税 税额 税金",
    "RATE": "rate percent percentage 税率 比率",
    "DISCOUNT": "discount discounts disc voucher rebate diskaun 折扣 优惠 减免",
    "ROUNDING": "rounding round rounded adjustment adj pembundaran 舍入 抹零",
    "CHANGE": "change baki 找零 找赎",
    "CASH": "cash tendered tender handed tunai 现金 实收",
    "TIP": "tip gratuity 小费",
    "QUANTITY": "quantity qty pcs units 数量 件数",
    "UNIT": "unit u/p 单价",
    "DATE": "date dated day when tarikh datum 日期 时间 哪天 何时 什么时候 几号 几月几日 哪一天",
    "TIME": "time hour clock masa 时刻 几点",
    "DUE": "due deadline 到期 截止",
    "EXPIRY": "expiry expiration expire expires expired exp valid until 有效 有效期 过期",
    "BIRTH": "birth birthday born dob birthdate 出生 生日",
    "DELIVERY": "delivery delivered deliver shipping shipped lieferdatum 送货 发货 收货",
    "PHONE": "phone telephone tel mobile handphone call hotline 电话 手机 联系电话 联系方式",
    "FAX": "fax 传真",
    "EMAIL": "email e-mail mail 邮箱 电子邮件",
    "WEB": "website web url homepage 网址 网站",
    "ADDRESS": "address addr located location where street live lives resides alamat 地址 在哪 哪里 位置 住址 店址",
    "COMPANY": "company store shop merchant vendor seller supplier business retailer issuer restaurant firm outlet "
    "sold 公司 商家 商店 商户 店名 店铺 店 超市 餐厅 销售方 卖方 开票方 哪家 哪个店 收款单位",
    "BUYER": "buyer customer client billed sold-to bill-to recipient 购买方 买方 客户 顾客",
    "NAME": "name named called 名称 名字 姓名 叫什么",
    "SEX": "sex gender 性别",
    "NUMBER": "number no nr num # id code identification 号码 编号 号 单号 代码",
    "INVOICE": "invoice inv receipt bill resit check 发票 收据 小票 账单 单据",
    "ORDER": "order ord 订单",
    "REGISTRATION": "registration registered reg registrierung 注册 登记",
    "TAXPAYER": "纳税人识别号 识别号 税号 统一社会信用代码",
    "CASHIER": "cashier server waiter waitress served staff salesperson operator 收银员 服务员 营业员 开票人 收银",
    "TABLE": "table tbl 桌号 桌",
    "CARD": "card visa mastercard 卡号 银行卡",
    "ITEM": "item items product products goods article 商品 项目 货物",
    "OCCUPATION": "occupation job profession work 职业 工作",
    "ISSUED": "issued issue issuing 开票 开具 开出",
}
_GROUP_OF = {word: group for group, words in GROUPS.items() for word in words.split()}
_CHINESE = sorted((word for word in _GROUP_OF if re.match(r"[\u3400-\u9fff]", word)), key=len, reverse=True)

# Words that mean something only together.
PHRASES = [
    (re.compile(pattern), meant)
    for pattern, meant in (
        (r"\bsub[\s-]total", "subtotal"),
        (r"\b(bill|billed|sold|ship|shipped|deliver)[\s-]to\b", "buyer"),
        (r"\bfor a living\b", "job"),
        (r"\bwho (has )?(issued|sold|wrote)|\bissued by\b|谁开|开票方", "company"),
    )
]

STOP = frozenset(
    "a an the is are was were be been do does did of on in at to for from by with and or this that these those it its "
    "there what which who whom whose how much many long tell me please give show find can could would you i we they my "
    "our your document page paper here say says said written stated shown printed mentioned have has had their his her "
    "as about if any into transaction purchase purchased bought made "
    "s t m re ve given giving back received return returned".split()
)
_CHINESE_STOP = re.compile(
    r"请问|请|这张|这份|这个|这家|买|票|上面|上|的|是|什么|多少|多久|吗|呢|了|为|哪个|哪|谁|告诉我|我|在|里|文件|文档|单子|有|和|与|几|？|。|，"
)


def words_of(text: str) -> list[str]:
    """A text's words in the groups' names, without those that carry no meaning; Chinese beyond the groups in pairs.

    >>> words_of("What is the total amount?")
    ['TOTAL', 'AMOUNT']
    >>> words_of("联系电话是多少？")
    ['PHONE']
    """
    found = []
    plain = text.lower()
    for pattern, meant in PHRASES:
        plain = pattern.sub(meant, plain)
    for run in re.findall(r"[\u3400-\u9fff]+|[^\s\u3400-\u9fff]+", plain):
        if re.match(r"[\u3400-\u9fff]", run):
            found += _chinese_words(run)
            continue
        for token in re.findall(r"e-mail|sub-total|u/p|#|[^\W_]+(?:[.,-][^\W_]+)*", run):
            word = token if token in _GROUP_OF else re.sub(r"'s$", "", token)
            if word in STOP:
                continue
            found.append(_GROUP_OF.get(word) or _GROUP_OF.get(word.rstrip("s")) or _stem(word))
    return list(dict.fromkeys(found))


def _chinese_words(run: str) -> list[str]:
    found = []
    for word in _CHINESE:
        if word in run:
            found.append((run.index(word), _GROUP_OF[word]))
            run = run.replace(word, "\0" * len(word))
    for rest in re.finditer(r"[^\0]+", _CHINESE_STOP.sub(lambda match: "\0" * len(match[0]), run)):
        text = rest[0]
        pairs = [text[n : n + 2] for n in range(len(text) - 1)] or [text]
        found += [(rest.start() + n, pair) for n, pair in enumerate(pairs)]
    return [word for _, word in sorted(found, key=lambda each: each[0])]


def _stem(word: str) -> str:
    """Singular and plural, past and present alike: enough to find a word again."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and word.isascii() and word.isalpha():
            return word[: -len(ending)]
    return word
